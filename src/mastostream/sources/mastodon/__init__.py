"""Mastodon servers, and others that speak their API."""

from mastostream.sources.mastodon.address import server_url, streaming_url, user_agent

__all__ = ["server_url", "streaming_url", "user_agent"]
