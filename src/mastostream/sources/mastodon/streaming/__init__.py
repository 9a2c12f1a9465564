"""Mastodon's streaming API, by WebSocket or server-sent events."""

from mastostream.sources.mastodon.streaming.stream import MastodonStreams

__all__ = ["MastodonStreams"]
