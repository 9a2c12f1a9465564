"""Sinks, where records end up: the index (SQLite or Elasticsearch) and the archive of files."""
