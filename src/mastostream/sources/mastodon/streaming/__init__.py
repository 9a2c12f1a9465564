"""What Mastodon servers send by themselves: server-sent events, and WebSocket."""

from mastostream.sources.mastodon.streaming.stream import MastodonStreams

__all__ = ["MastodonStreams"]
