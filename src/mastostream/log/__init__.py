"""The log: SQLite on one machine."""
