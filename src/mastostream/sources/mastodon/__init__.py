"""Mastodon servers, and others that speak their API."""

from mastostream.sources.mastodon.client import MastodonClient, ServerFacts
from mastostream.sources.mastodon.polling import HashtagSource

__all__ = ["HashtagSource", "MastodonClient", "ServerFacts"]
