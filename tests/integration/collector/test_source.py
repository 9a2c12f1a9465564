"""The Mastodon client passes the source conformance suite on a server that others wrote."""

from collections.abc import Iterator, Sequence

import attrs
import mastodon
import pytest

from mastostream.sources.mastodon.client import MastodonClient
from mastostream.testing.conformance.source import ServerConformance, ServerUnderTest

TAGS = ("news", "art")
POSTS = 90


@attrs.define
class Posts:
    """The posts of the server.

    Attributes:
        api: writes and deletes posts on the server.
        tag_of: the hashtag of each post, by its id, the newest last.
    """

    api: mastodon.Mastodon
    tag_of: dict[str, str] = attrs.field(factory=dict)

    def write(self, tag: str) -> None:
        post = self.api.status_post(f"number {len(self.tag_of)} #{tag}")
        self.tag_of[str(post.id)] = tag

    def there(self, tags: Sequence[str]) -> list[str]:
        return [post_id for post_id, tag in reversed(self.tag_of.items()) if tag in tags]

    def delete(self, tag: str) -> str:
        post_id = self.there([tag])[POSTS // 4]
        self.api.status_delete(post_id)
        del self.tag_of[post_id]
        return post_id


@pytest.fixture(scope="module")
def posts(mastodon_mock: str) -> Iterator[Posts]:
    api = mastodon.Mastodon(
        api_base_url=mastodon_mock, access_token="mock_token", version_check_mode="none"
    )
    posts = Posts(api)
    for number in range(POSTS):
        posts.write(TAGS[number % 2])
    yield posts
    api.session.close()


class TestMastodonClientOnAForeignServer(ServerConformance):
    @pytest.fixture
    def server(self, mastodon_mock: str, posts: Posts) -> Iterator[ServerUnderTest]:
        client = MastodonClient(mastodon_mock, token="mock_token")
        yield ServerUnderTest(
            server=client,
            tags=TAGS,
            posts=posts.there,
            write=posts.write,
            delete=posts.delete,
            several_tags=False,  # it ignores any[]
        )
        client.close()
