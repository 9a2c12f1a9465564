"""Mastodon servers, and others that speak their API."""

from mastostream.sources.mastodon.address import server_url, streaming_url, user_agent
from mastostream.sources.mastodon.client import MastodonClient

__all__ = ["MastodonClient", "server_url", "streaming_url", "user_agent"]
