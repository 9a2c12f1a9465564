"""The collector process: its use of processor and memory, and the delay of posts to the log."""

import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

import attrs
import msgspec

from mastostream.testing.simulator import (
    Fediverse,
    SimulatedServer,
    TrafficProfile,
    generate_statuses,
)
from mastostream.testing.simulator.texts import TAGS

EVENTS_PER_S = 1_000
SECONDS = int(os.environ.get("MASTOSTREAM_BENCH_SECONDS", "20"))
DELAYS = 300
MOST_CORES = 0.5
MOST_CORES_AT_REST = 0.01
MOST_BYTES_AT_REST = 80 * 2**20
MOST_MEDIAN_S = 0.020
TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Usage:
    """Resources that a process has used.

    Attributes:
        cpu_s: processor time since its start, in seconds.
        resident_bytes: resident memory.
    """

    cpu_s: float
    resident_bytes: int


def usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
    return Usage(cpu_s, pages * os.sysconf("SC_PAGE_SIZE"))


@contextmanager
def collecting(folder: Path, server: SimulatedServer, *tags: str) -> Iterator[int]:
    """Run ``mastostream collect``; yield its process id."""
    command = [Path(sys.executable).parent / "mastostream", "collect", "--server", server.url]
    command += ["--data", str(folder)]
    for tag in tags:
        command += ["--tag", tag]
    environment = os.environ | {"ACCESS_TOKEN": "bench"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    try:
        yield process.pid
    finally:
        process.terminate()
        assert process.wait(10) == 0


def wait_until_it_listens(server: SimulatedServer) -> None:
    end_s = time.monotonic() + 30
    while not server.listeners():
        assert time.monotonic() < end_s, "it does not listen"
        time.sleep(0.05)
    time.sleep(2)


def quiet_server() -> SimulatedServer:
    """Return a server on which no posts are written."""
    now_ms = time.time_ns() // 1_000_000
    fediverse = Fediverse(
        hosts=("quiet.example",), start_ms=now_ms, traffic_profile=TrafficProfile(posts_per_s=1e-9)
    )
    return SimulatedServer(fediverse=fediverse, host="quiet.example")


def fresh_statuses(count: int) -> list[bytes]:
    """Return this many different statuses."""
    return list(islice(generate_statuses(count), count))


def logged(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "mastostream.sqlite3")) as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def test_a_thousand_events_a_second(tmp_path: Path) -> None:
    statuses = fresh_statuses(EVENTS_PER_S * SECONDS)
    size = sum(map(len, statuses)) / len(statuses)
    with quiet_server() as server, collecting(tmp_path, server, "news") as pid:
        wait_until_it_listens(server)
        before, began_s = usage(pid), time.monotonic()
        for number, status in enumerate(statuses):
            if number % 10 == 0:
                time.sleep(max(0.0, began_s + number / EVENTS_PER_S - time.monotonic()))
            server.push("update", status, "news")
        sent_s = time.monotonic() - began_s
        while logged(tmp_path) < len(statuses) and time.monotonic() < began_s + 3 * SECONDS:
            time.sleep(0.1)
        whole_s = time.monotonic() - began_s
        after = usage(pid)
    assert logged(tmp_path) == len(statuses), "nothing is lost on the way"
    cores = (after.cpu_s - before.cpu_s) / sent_s
    print(
        f"\ncollector, {len(statuses) / sent_s:.0f} events/s of {size:.0f} bytes: all in the log "
        f"{whole_s - sent_s:.1f} s after the last was sent; {cores:.2f} of a core, "
        f"{after.resident_bytes / 2**20:.0f} MiB: ratio {cores / MOST_CORES:.2f} to half a core"
    )
    assert cores <= MOST_CORES


def test_the_delay_from_the_servers_send_to_the_logs_confirmation(tmp_path: Path) -> None:
    delays = []
    with quiet_server() as server, collecting(tmp_path, server, "news"):
        wait_until_it_listens(server)
        with closing(sqlite3.connect(tmp_path / "mastostream.sqlite3")) as connection:
            for number, status in enumerate(fresh_statuses(DELAYS), start=1):
                sent_s = time.perf_counter()
                server.push("update", status, "news")
                while time.perf_counter() < sent_s + 5:
                    (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
                    if count >= number:
                        break
                    time.sleep(0.0002)
                delays.append(time.perf_counter() - sent_s)
                time.sleep(0.01)
    median_s = statistics.median(delays)
    worst_s = statistics.quantiles(delays, n=100)[98]
    print(
        f"\ndelay of {DELAYS} events from push to commit: median {median_s * 1000:.1f} ms, "
        f"p99 {worst_s * 1000:.1f} ms: ratio {median_s / MOST_MEDIAN_S:.2f} to 20 ms"
    )
    assert median_s <= MOST_MEDIAN_S


def test_at_rest(tmp_path: Path) -> None:
    tags = [*TAGS, *(f"quiet{number}" for number in range(100))][:100]
    with quiet_server() as server, collecting(tmp_path, server, *tags) as pid:
        wait_until_it_listens(server)
        status = fresh_statuses(1)[0]
        identity = msgspec.json.decode(status, type=dict[str, msgspec.Raw])
        assert identity["id"]
        server.push("update", status, tags[0])
        time.sleep(60)
        before, requests, began_s = usage(pid), server.usage.requests, time.monotonic()
        time.sleep(3 * SECONDS)
        after, elapsed_s = usage(pid), time.monotonic() - began_s
        count = server.usage.requests - requests
    cores = (after.cpu_s - before.cpu_s) / elapsed_s
    print(
        f"\ncollector at rest, 100 hashtags: {cores * 100:.2f} % of a core, "
        f"{after.resident_bytes / 2**20:.0f} MiB, {count} requests in {elapsed_s:.0f} s: ratio "
        f"{cores / MOST_CORES_AT_REST:.2f} to 1 %, "
        f"{after.resident_bytes / MOST_BYTES_AT_REST:.2f} to 80 MiB"
    )
    assert cores <= MOST_CORES_AT_REST
    assert after.resident_bytes <= MOST_BYTES_AT_REST
