"""Sources for Mastodon servers, and for other servers with the same API."""

from mastostream.sources.mastodon.address import server_url, streaming_url, user_agent

__all__ = ["server_url", "streaming_url", "user_agent"]
