"""What shows that the tests still find defects. Run by name; pytest does not collect it."""
