"""The simulated server."""

import gc
import itertools
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import mastodon
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from mastostream import Post, decode
from mastostream.testing.simulator import SimulatedServer, World, generate_statuses

START = 1_750_000_000_000


@settings(max_examples=10)
@given(st.integers(0, 99), st.lists(st.integers(0, 3000), max_size=5))
def test_the_same_seed_gives_the_same_posts_however_time_is_cut(
    seed: int, steps: list[int]
) -> None:
    whole, cut = (World(seed=seed, start_ms=START) for _ in range(2))
    now_ms = START
    for step in steps:
        now_ms += step
        cut.advance(now_ms)
    whole.advance(now_ms)
    assert list(whole.posts) == list(cut.posts)


def test_engagement_never_falls_and_begins_at_nothing() -> None:
    world = World(start_ms=START, posts_per_s=20)
    world.advance(START + 20_000)
    for post in world.posts:
        counts = [
            post.counts_at(post.created_ms + age).favourites for age in (0, 1000, 10**6, 10**8)
        ]
        assert counts == sorted(counts)
        assert counts[0] == 0


def test_generated_statuses_are_distinct_posts_of_a_real_ones_size() -> None:
    statuses = list(generate_statuses(500))
    posts = [decode(status) for status in statuses]
    assert all(isinstance(post, Post) for post in posts)
    assert len({post.id for post in posts if isinstance(post, Post)}) == 500
    assert 2_800 < sum(map(len, statuses)) / 500 < 4_000
    assert statuses == list(itertools.islice(generate_statuses(900), 500))


def test_paging_up_visits_every_post_once() -> None:
    now_ms = START + 120_000
    with SimulatedServer(now_ms=lambda: now_ms, posts_per_s=3, rate_limit=None) as server:
        api = mastodon.Mastodon(api_base_url=server.url, version_check_mode="none")
        seen: list[str] = []
        anchor = "0"
        while page := api.timeline_hashtag("News", limit=40, min_id=anchor):
            seen = [str(status.id) for status in page] + seen
            anchor = str(page[0].id)
        newest = [str(status.id) for status in api.timeline_hashtag("news", limit=40)]
        some = api.status(seen[0])
        api.session.close()
        assert seen == [post.id for post in server.world.timeline("news", now_ms)]
    assert newest == seen[:40]
    assert str(some.id) == seen[0]


def test_it_can_end_while_it_goes_down(caplog: pytest.LogCaptureFixture) -> None:
    with SimulatedServer() as server, ThreadPoolExecutor(1) as pool:
        server.faults.begin("slow")
        asked = pool.submit(requests.get, f"{server.url}/api/v1/timelines/tag/news", timeout=60)
        time.sleep(0.3)
        server.restart(60)  # it waits a second for what is being answered
        assert isinstance(asked.exception(), requests.ConnectionError)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_who_comes_while_it_ends_is_let_go() -> None:
    """What is left open is told when it is collected, and fails a test that knows nothing of it."""
    clients = list[socket.socket]()
    many = threading.Event()

    def come(host: str, port: int) -> None:
        while True:
            try:
                clients.append(socket.create_connection((host, port)))
            except OSError:
                break
            if len(clients) == 50:
                many.set()

    with SimulatedServer() as server:
        url = urlsplit(server.url)
        thread = threading.Thread(target=come, args=(url.hostname, url.port))
        thread.start()
        assert many.wait(60)
    thread.join()
    for client in clients:
        client.close()
    gc.collect()
