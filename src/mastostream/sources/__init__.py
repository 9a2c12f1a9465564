"""Where posts come from: Mastodon servers, archives, files."""
