"""What Mastodon servers send by themselves: server-sent events, and WebSocket."""

from mastostream.sources.mastodon.streaming.streams import MastodonStreams

__all__ = ["MastodonStreams"]
