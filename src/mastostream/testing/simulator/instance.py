"""The bodies of ``/api/v1/instance`` and ``/api/v2/instance``."""

from typing import Any, Literal

from mastostream.testing.simulator.families import VERSIONS, Family

__all__ = ["Access", "instance_v1", "instance_v2"]

Access = Literal["public", "authenticated", "disabled"]


def instance_v1(host: str, family: Family, streaming: str) -> dict[str, Any]:
    """Return the body of ``/api/v1/instance``."""
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
    """Return the body of ``/api/v2/instance``.

    Args:
        host: the server's host name.
        family: the server's software.
        streaming: the URL of its streaming API.
        access: who may read its timelines. Mastodon publishes this since version 4.5.
    """
    instance: dict[str, Any] = {
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
        instance["configuration"]["timelines_access"] = {
            "live_feeds": feeds,
            "hashtag_feeds": feeds,
            "trending_link_feeds": feeds,
        }
        instance["api_versions"] = {"mastodon": 7}
    return instance
