"""The adapters of the log: SQLite on one machine, and Kafka."""
