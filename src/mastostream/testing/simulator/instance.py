"""What a simulated server says of itself."""

from typing import Any, Literal

from mastostream.testing.simulator.families import VERSIONS, Family

__all__ = ["Access", "instance_v1", "instance_v2"]

Access = Literal["public", "authenticated", "disabled"]


def instance_v1(host: str, family: Family, streaming: str) -> dict[str, Any]:
    """Return the answer of ``/api/v1/instance``."""
    return {
        "uri": host,
        "title": "A simulated server",
        "short_description": "Its posts are generated",
        "description": "Its posts are generated",
        "email": "owner@social.example",
        "version": VERSIONS[family],
        "urls": {"streaming_api": streaming},
        "stats": {"user_count": 400, "status_count": 0, "domain_count": 30},
        "languages": ["en"],
    }


def instance_v2(host: str, family: Family, streaming: str, access: Access) -> dict[str, Any]:
    """Return the answer of ``/api/v2/instance``.

    Args:
        host: the server's name.
        family: its software.
        streaming: where its streams are.
        access: who sees its timelines. Mastodon tells that since 4.5.
    """
    about: dict[str, Any] = {
        "domain": host,
        "title": "A simulated server",
        "version": VERSIONS[family],
        "source_url": "",
        "description": "Its posts are generated",
        "usage": {"users": {"active_month": 400}},
        "languages": ["en"],
        "configuration": {"urls": {"streaming": streaming}},
        "registrations": {"enabled": False},
        "rules": [],
    }
    if family == "mastodon":
        feeds = {"local": access, "remote": access}
        about["configuration"]["timelines_access"] = {
            "live_feeds": feeds,
            "hashtag_feeds": feeds,
            "trending_link_feeds": feeds,
        }
        about["api_versions"] = {"mastodon": 7}
    return about
