"""Where analyses run: they host the functions of the core, and add none."""
