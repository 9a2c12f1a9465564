"""Public tools for tests: a simulated Mastodon server, and strategies for hypothesis."""
