"""Where records end up: the index and the archive."""
