"""What can be listened to, under which names."""

from typing import Final

from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing.simulator.posts import SimulatedPost

__all__ = ["PATHS", "Channel", "channel", "channels_of", "spelled"]

Channel = tuple[str, str]
"""A stream's name, and the hashtag as Mastodon normalises it where it has one."""

PATHS: Final = {
    "public": "public",
    "public/local": "public:local",
    "public/remote": "public:remote",
    "hashtag": "hashtag",
    "hashtag/local": "hashtag:local",
    "user": "user",
    "user/notification": "user:notification",
    "direct": "direct",
    "list": "list",
}
"""The paths of server-sent events below ``/api/v1/streaming/``, and the streams' names."""


def channel(stream: str, tag: str = "") -> Channel:
    """Return the channel of a stream."""
    return stream, normalize_hashtag(tag)


def spelled(stream: str, tag: str = "") -> tuple[str, ...]:
    """Return how a WebSocket's messages name a stream: its tag as it was asked for."""
    return (stream, tag) if stream.startswith("hashtag") else (stream,)


def channels_of(post: SimulatedPost) -> list[Channel]:
    """Return the channels on which a post is told."""
    found = [channel("public"), channel("public:local" if post.at_home else "public:remote")]
    for tag in dict.fromkeys(map(normalize_hashtag, post.tags)):
        found.append(("hashtag", tag))
        if post.at_home:
            found.append(("hashtag:local", tag))
    return found
