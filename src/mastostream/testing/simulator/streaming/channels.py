"""The channels of the streaming API, and their names in paths and in messages."""

from typing import Final

from mastostream.core.hashtags import normalize_hashtag
from mastostream.testing.simulator.posts import SimulatedPost

__all__ = ["PATHS", "Channel", "channel", "channels_of", "stream_name"]

Channel = tuple[str, str]
"""Name of a stream, and its normalised hashtag (empty for streams without one)."""

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
"""Names of the streams by their path below ``/api/v1/streaming/``."""


def channel(stream: str, tag: str = "") -> Channel:
    """Return the channel of a stream; the hashtag may have any spelling."""
    return stream, normalize_hashtag(tag)


def stream_name(stream: str, tag: str = "") -> tuple[str, ...]:
    """Return the name of a stream in WebSocket messages; a hashtag is as the client spelt it."""
    return (stream, tag) if stream.startswith("hashtag") else (stream,)


def channels_of(post: SimulatedPost) -> list[Channel]:
    """Return the channels on which events of a post are sent."""
    channels = [channel("public"), channel("public:local" if post.at_home else "public:remote")]
    for tag in dict.fromkeys(map(normalize_hashtag, post.tags)):
        channels.append(("hashtag", tag))
        if post.at_home:
            channels.append(("hashtag:local", tag))
    return channels
