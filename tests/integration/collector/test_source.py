"""The client of Mastodon servers keeps what every source keeps, on a server of somebody else."""

from collections.abc import Iterator, Sequence

import mastodon
import pytest

from mastostream.sources.mastodon.client import MastodonClient
from mastostream.testing.conformance.source import ServerConformance, ServerUnderTest

TAGS = ("news", "art")
POSTS = 90


class TestMastodonClientOnAForeignServer(ServerConformance):
    @pytest.fixture
    def server(self, mastodon_mock: str) -> Iterator[ServerUnderTest]:
        api = mastodon.Mastodon(
            api_base_url=mastodon_mock, access_token="mock_token", version_check_mode="none"
        )
        tag_of: dict[str, str] = {}  # the newest last

        def write(tag: str) -> None:
            post = api.status_post(f"number {len(tag_of)} #{tag}")
            tag_of[str(post.id)] = tag

        def posts(tags: Sequence[str]) -> list[str]:
            return [post_id for post_id, tag in reversed(tag_of.items()) if tag in tags]

        def delete(tag: str) -> str:
            gone = posts([tag])[POSTS // 4]
            api.status_delete(gone)
            del tag_of[gone]
            return gone

        for number in range(POSTS):
            write(TAGS[number % 2])
        client = MastodonClient(mastodon_mock, token="mock_token")
        yield ServerUnderTest(
            server=client,
            tags=TAGS,
            posts=posts,
            write=write,
            delete=delete,
            several_tags=False,  # it ignores any[]
        )
        client.close()
        api.session.close()
