"""Live analytics on Mastodon."""
