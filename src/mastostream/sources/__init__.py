"""Sources of posts: Mastodon servers, archives and files."""
