"""The client of Mastodon servers keeps what every source keeps, on simulated servers."""

from collections.abc import Iterator, Sequence

import attrs
import pytest

from mastostream.sources.mastodon.client import MastodonClient
from mastostream.testing.conformance.source import ServerConformance, ServerUnderTest
from mastostream.testing.fakes import FakeClock
from mastostream.testing.simulator import Fediverse, SimulatedServer, TrafficProfile

HOST = "social.example"
START = 1_750_000_000_000
HABITS = attrs.evolve(
    TrafficProfile.of_one_server(), posts_per_s=1.0, delete_share=0.2, changes_within_s=3_600.0
)


class TestMastodonClient(ServerConformance):
    @pytest.fixture(params=["mastodon", "gotosocial"])
    def server(self, request: pytest.FixtureRequest) -> Iterator[ServerUnderTest]:
        clock = FakeClock(START + 900_000)
        family = request.param
        fediverse = Fediverse(
            hosts=(HOST,), families={HOST: family}, seed=1, start_ms=START, traffic_profile=HABITS
        )
        simulated = SimulatedServer(
            fediverse=fediverse, host=HOST, clock=clock, rate_limit=None, token="t"
        )

        def posts(tags: Sequence[str]) -> list[str]:
            simulated.world.advance(clock.ms)
            found = {
                post.id: post.number
                for tag in tags
                for post in simulated.world.timeline(tag, clock.ms)
            }
            return sorted(found, key=lambda post_id: -found[post_id])

        def write(tag: str) -> None:
            newest = posts([tag])[0]
            while posts([tag])[0] == newest:
                clock.advance(1.0)

        def delete(tag: str) -> str:
            before = posts([tag])
            while True:
                clock.advance(1.0)
                there = posts([tag])
                for post_id in before:
                    if post_id not in there:
                        return post_id

        with simulated:
            client = MastodonClient(simulated.url, token="t")
            yield ServerUnderTest(
                server=client,
                tags=("news", "art"),
                posts=posts,
                write=write,
                delete=delete,
                several_tags=family == "mastodon",
            )
            client.close()
