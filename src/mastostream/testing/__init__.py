"""Public tools for tests: a simulated Mastodon server and fakes of the ports."""
