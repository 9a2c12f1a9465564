"""SQL on Flink: the newest record of each window is a recount, also in Flink's own SQL client."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import pytest
import requests

from mastostream import Account, Deletion, Post, Rejected, Stamp, Tag, decode, encode
from mastostream.core.analyses import built_in
from mastostream.core.models import Event
from mastostream.core.topic_names import COUNTS, DASHBOARD, LATE, STREAM, TRENDS
from mastostream.engines.flink import ENDED
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord, Record
from mastostream.services import FlinkCluster, KafkaServer, download
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all

from .flink_inputs import arbitrary, history
from .window_recount import Json, Recount, canonical, newest

BIN = Path(sys.executable).parent
START = datetime(2026, 9, 1, tzinfo=UTC)
SHOWN = ("engagement", "language", "users")
WRITTEN = {"count": COUNTS, "dashboard": DASHBOARD, "trends": TRENDS}
TOPICS = (STREAM, *WRITTEN.values(), LATE)
LANGUAGES = ("en", "pt-BR", "PT_pt", " de ", "", None)
ACCOUNTS = ("alice", "bob@example.org", "carol", 'da"ve\n')
TAGS = ("news", "Café", "straße", "ＡＢＣ", "日本語", "हिन्दी", "a-b", "--", "l·l")

Windows = dict[str, Json]


@pytest.fixture(scope="module")
def place(kafka_server: KafkaServer) -> KafkaClientConfig:
    """Topics that no other test uses."""
    place = KafkaClientConfig(servers=kafka_server.address, topic_prefix=new_prefix())
    ensure_topics(place, TOPICS)
    return place


@pytest.fixture(scope="module")
def recount(
    place: KafkaClientConfig,
    real_statuses: Sequence[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    thorough: bool,
) -> Recount:
    """What the newest records have to be, of a log that is written here."""
    simulated = tmp_path_factory.mktemp("simulated") if thorough else None
    records = [
        *history(real_statuses, simulated),
        *arbitrary(START - timedelta(minutes=10), START),
        *made(random.Random(1)),
        *broken(),
    ]
    random.Random(2).shuffle(records)
    append(place, records)
    return Recount(in_topic(place, STREAM))


def append(place: KafkaClientConfig, records: Sequence[NewRecord]) -> None:
    """Write records to the log, those of one post to one partition."""
    with closing(KafkaLogWriter(place)) as writer:
        writer.append([record._replace(key=key_of(record)) for record in records])


def key_of(record: NewRecord) -> str | None:
    item = decode(record.value)
    return None if isinstance(item, Rejected) else item.key


def in_topic(place: KafkaClientConfig, topic: str) -> list[Record]:
    with closing(KafkaLogReader(place, topic=topic, group=new_topic())) as reader:
        return read_all(reader)


def post(
    chance: random.Random, key: str, seconds: float, event: Event = "new", *, after_s: float = 0
) -> NewRecord:
    """Return a version of a post that is observed so long after its creation."""
    tags = chance.sample(TAGS, chance.randrange(4))
    text = " ".join(f'<a href="https://a.example/tags/x">#<span>{tag}</span></a>' for tag in tags)
    created_at = START + timedelta(seconds=seconds)
    observed_at = created_at + timedelta(seconds=after_s)
    status = Post(
        id=key,
        created_at=created_at,
        account=Account(acct=chance.choice(ACCOUNTS)),
        language=chance.choice(LANGUAGES),
        content=f"<p>{text} {text if chance.random() < 0.3 else ''} #{chance.choice(TAGS)}.</p>",
        tags=tuple(Tag(name=tag) for tag in tags),
        favourites_count=chance.randrange(5),
        reblogs_count=chance.randrange(5),
        replies_count=chance.randrange(5),
        quotes_count=chance.randrange(5),
        mastostream=Stamp(key=key, event=event, instance="a.example", observed_at=observed_at),
    )
    return NewRecord(STREAM, key, encode(status))


def deletion(key: str, seconds: float, *, after_s: float) -> NewRecord:
    observed_at = START + timedelta(seconds=seconds + after_s)
    stamp = Stamp(key=key, event="delete", observed_at=observed_at)
    return NewRecord(STREAM, key, encode(Deletion(id="1", mastostream=stamp)))


DAY = 86_400
AFTER_S = (-3_700, -3_600, 0, 1, 1.001, 60, 300, DAY, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1, 9 * DAY)


EVENTS: Final[Sequence[Event]] = ("new", "edit", "refresh")


def made(chance: random.Random) -> list[NewRecord]:
    """Return what may become of posts, in a few windows and with few different times.

    Posts are edited, read again, repeated, deleted, deleted again, revived, moved to another time
    of creation, observed too late or too early, boosted, and without a stamp.
    """
    records = []
    for number in range(600):
        key, seconds = f"p{number}", chance.randrange(-3_600, 900) * chance.random()
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            after_s = (
                chance.choice(AFTER_S[1:]) if chance.random() < 0.9 else chance.choice(AFTER_S)
            )
            moved = chance.choice((0, 0, 0, 0, 5, 400))
            event = chance.choice(EVENTS)
            match chance.randrange(8):
                case 0 | 1:
                    records.append(deletion(key, seconds, after_s=after_s))
                case 2:
                    stamped = chance.random() < 0.5
                    boosted = post(chance, key, seconds, event, after_s=after_s)
                    records.append(boost(boosted, key, stamped=stamped))
                case 3:
                    unstamped = json.loads(post(chance, key, seconds).value) | {"mastostream": None}
                    if chance.random() < 0.5:
                        edited_at = START + timedelta(seconds=seconds + after_s)
                        unstamped["edited_at"] = edited_at.isoformat()[:23] + "Z"
                    records.append(NewRecord(STREAM, key, json.dumps(unstamped).encode()))
                case _:
                    records.append(post(chance, key, seconds + moved, event, after_s=after_s))
        if chance.random() < 0.3:
            records.append(chance.choice(records))
    year_s = 365 * DAY
    for number in range(20):
        records.append(post(chance, f"early{number}", year_s, after_s=-DAY))
        unstamped = json.loads(post(chance, f"bad-clock{number}", year_s * (number % 3)).value)
        unstamped["mastostream"] = None
        records.append(NewRecord(STREAM, f"bad-clock{number}", json.dumps(unstamped).encode()))
    return records


def boost(boosted: NewRecord, key: str, *, stamped: bool) -> NewRecord:
    status = json.loads(boosted.value)
    stamp = status.pop("mastostream") | {"key": key}
    wrapper = {"id": key, "created_at": "2026-09-02T00:00:00Z", "account": {"acct": "booster"}}
    wrapper |= {"reblog": status | {"id": f"of-{key}"}}
    if stamped:
        wrapper["mastostream"] = stamp
    return NewRecord(STREAM, key, json.dumps(wrapper).encode())


def broken() -> list[NewRecord]:
    values = (
        b"",
        b"\xffgarbage",
        b"[]",
        b'"text"',
        b'{"id": "x1"}',
        b'{"id": "x2", "created_at": "yesterday", "account": {"acct": "a"}}',
        b'{"id": "x3", "created_at": "2026-09-01T00:00:00Z"}',
        b'{"id": "x4", "created_at": "2026-09-01T00:00:00Z", "account": {"acct": "a"}',
        b'{"created_at": "2026-09-01T00:00:00Z", "account": {"acct": "a"}}',
        b'{"id": "", "created_at": "2026-09-01T00:00:00Z", "account": {"acct": "a"}}',
        b'{"a":' * 2_000,
    )
    assert all(isinstance(decode(value), Rejected) for value in values)
    return [NewRecord(STREAM, "x", value) for value in values]


def command(name: str, *arguments: str) -> list[str | Path]:
    command = [BIN / "mastostream", "analyze", "--json", "--log", "kafka"]
    return [*command, "--mode", "sql", "--analysis", name, *arguments]


def environment_of(place: KafkaClientConfig, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MASTOSTREAM_KAFKA_SERVERS": place.servers,
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": place.topic_prefix,
        "MASTOSTREAM_KAFKA_GROUP": new_topic(),
        "MASTOSTREAM_DATA": str(folder / "data"),
    }


def analyze(
    place: KafkaClientConfig, folder: Path, name: str, *arguments: str, **settings: str
) -> str:
    """Run analyses on Flink until the end of the log; return the output, which is lines of JSON."""
    done = subprocess.run(
        command(name, "--once", *arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment_of(place, folder) | settings,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(output: str) -> list[Json]:
    lines = (json.loads(line) for line in output.splitlines())
    return [line["record"] for line in lines if "record" in line]


def written(place: KafkaClientConfig, topic: str, skipped: int = 0) -> list[Json]:
    """Return the records of a topic. None is null, and each has the key that it says."""
    records = in_topic(place, topic)[skipped:]
    values = [json.loads(record.value) for record in records]
    assert [value["key"] for value in values] == [record.key for record in records]
    return values


def windows_of(recount: Recount, name: str) -> Windows:
    (analysis,) = built_in("sql", name)
    windows = recount.windows(analysis)
    assert len(windows) > 10
    assert any(not window["posts"] for window in windows.values())
    return windows


@pytest.mark.campaign
def test_real_statuses_are_among_them(corpus: Sequence[bytes], recount: Recount) -> None:
    assert any(key.startswith("2022-11-") for key in windows_of(recount, "count"))


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_only_shown_is_a_recount(
    place: KafkaClientConfig, recount: Recount, on_flink: Sequence[str], tmp_path: Path, name: str
) -> None:
    before = {topic: len(in_topic(place, topic)) for topic in TOPICS}
    records = shown(analyze(place, tmp_path, name, *on_flink))
    assert newest(records) == windows_of(recount, name)
    assert {topic: len(in_topic(place, topic)) for topic in TOPICS} == before


def test_what_is_written_is_a_recount(
    place: KafkaClientConfig, recount: Recount, on_flink: Sequence[str], tmp_path: Path
) -> None:
    before = {topic: len(in_topic(place, topic)) for topic in TOPICS}
    others = ("--analysis", "dashboard", "--analysis", "trends")
    analyze(place, tmp_path, "count", *others, *on_flink)
    late = written(place, LATE, before[LATE])
    for name, topic in WRITTEN.items():
        records = written(place, topic, before[topic])
        assert newest(records) == windows_of(recount, name), name
        (analysis,) = built_in("sql", name)
        own = [canonical(record) for record in late if record["analysis"] == name]
        assert by_text(own) == by_text(recount.late(analysis))
        assert {record["reason"] for record in own} == {"late", "ahead"}
    assert any(window["hashtags"] for window in windows_of(recount, "trends").values())


def by_text(records: Sequence[Json]) -> Counter[str]:
    return Counter(json.dumps(record, sort_keys=True) for record in records)


@pytest.mark.campaign
def test_no_record_is_null_while_the_only_post_of_a_window_changes(
    kafka_server: KafkaServer, on_flink: Sequence[str], tmp_path: Path
) -> None:
    """Each change is written, as nothing waits for more changes."""
    place = KafkaClientConfig(servers=kafka_server.address, topic_prefix=new_prefix())
    ensure_topics(place, TOPICS)
    chance = random.Random(3)
    changes = [
        *(post(chance, "only", 5, "refresh", after_s=after_s) for after_s in range(300)),
        post(chance, "only", 1_000, "edit", after_s=1),
        deletion("only", 1_000, after_s=2),
    ]
    append(place, changes)
    others = ("--analysis", "dashboard", "--analysis", "trends")
    at_once = {"MASTOSTREAM_WINDOWS_CORRECT_EVERY_S": "0"}
    analyze(place, tmp_path, "count", *others, *on_flink, **at_once)
    recount = Recount(in_topic(place, STREAM))
    for name, topic in WRITTEN.items():
        records = written(place, topic)
        (analysis,) = built_in("sql", name)
        assert newest(records) == recount.windows(analysis)
        assert not any(record["posts"] for record in newest(records).values())
        assert len(records) > 300


@pytest.mark.campaign
def test_what_is_written_may_be_shown_instead(
    place: KafkaClientConfig, recount: Recount, tmp_path: Path
) -> None:
    records = shown(analyze(place, tmp_path, "count", "--engine", "flink", "--print"))
    assert newest(records) == windows_of(recount, "count")


@pytest.mark.campaign
def test_what_is_no_json_is_counted(
    place: KafkaClientConfig, recount: Recount, tmp_path: Path
) -> None:
    """The records read are counted too. Both counts come from Flink."""
    values = [record.value for record in in_topic(place, STREAM)]
    broken = sum(not is_object(value) for value in values)
    assert broken > 5
    arguments = command("users", "--engine", "flink")
    environment = environment_of(place, tmp_path)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as job:
        try:
            assert job.stdout is not None
            lines = (json.loads(line) for line in job.stdout)
            stages = (line for line in lines if line["kind"] in {"health", "stage"})
            wanted = (len(values), f"{broken} values left out that are no JSON")
            counted = next(line for line in stages if (line["processed"], line["detail"]) == wanted)
            job.send_signal(signal.SIGINT)
            assert next(line for line in lines if line["kind"] == "stage") == counted | {
                "kind": "stage",
                "state": "stopped",
            }
            assert job.wait(60) == 0
        finally:
            job.kill()


def is_object(value: bytes) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


@pytest.mark.campaign
def test_files_run_in_the_sql_client_as_they_stand(
    place: KafkaClientConfig, recount: Recount, flink_cluster: FlinkCluster, tmp_path: Path
) -> None:
    """Except for the address, and for an end of the input. One file only shows."""
    for name, topic in WRITTEN.items():
        before = len(in_topic(place, topic))
        output = in_sql_client(place, flink_cluster, tmp_path, name)
        until_ended(flink_cluster)
        records = written(place, topic, before)
        assert newest(records) == windows_of(recount, name), output
    output = in_sql_client(place, flink_cluster, tmp_path, "users")
    rows = [line.split("|") for line in output.splitlines() if line.startswith(("| +I", "| +U"))]
    assert {row[2].strip() for row in rows} == set(windows_of(recount, "users")), output


def in_sql_client(place: KafkaClientConfig, cluster: FlinkCluster, folder: Path, name: str) -> str:
    for part in ("prelude", name):
        text = (files("mastostream.engines.flink") / "sql" / f"{part}.sql").read_text()
        text = text.replace("localhost:9092", place.servers)
        for topic in TOPICS:
            text = text.replace(f"'{topic}'", f"'{place.topic_prefix}{topic}'")
        startup = "'scan.startup.mode' = 'earliest-offset',"
        text = text.replace(startup, f"{startup} 'scan.bounded.mode' = 'latest-offset',")
        (folder / f"{part}.sql").write_text(text)
    host, port = cluster.address.split(":")
    jar = download(FLINK_KAFKA_JAR, "jar", lambda *_: None)
    home = next(iter(files("pyflink").iterdir())).parent  # type: ignore[attr-defined]
    command = ["bash", home / "bin" / "sql-client.sh", "-j", jar]
    command += ["-i", folder / "prelude.sql", "-f", folder / f"{name}.sql"]
    command += ["-pyexec", sys.executable, "-pyclientexec", sys.executable]
    command += [f"-Drest.address={host}", f"-Drest.port={port}", "-Dexecution.target=remote"]
    environment = {
        **os.environ,
        "FLINK_CONF_DIR": str(cluster.folder / "config"),
        "FLINK_LOG_DIR": str(folder),
        "FLINK_OPT_DIR": str(whole_client(Path(home), folder / "opt")),
    }
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[ERROR]" not in done.stdout, done.stdout
    return done.stdout


def whole_client(home: Path, folder: Path) -> Path:
    """Return a folder with all jars of the client. One of them is not in the wheel of PyFlink."""
    if not folder.exists():
        folder.mkdir()
        gateway = f"org.apache.flink:flink-sql-gateway:{version('apache-flink')}"
        for jar in (*(home / "opt").glob("*.jar"), download(gateway, "jar", lambda *_: None)):
            (folder / jar.name).symlink_to(jar)
    return folder


def until_ended(cluster: FlinkCluster) -> None:
    deadline = time.monotonic() + 120
    while True:
        jobs: Sequence[dict[str, str]]
        jobs = requests.get(f"{cluster.url}/jobs/overview", timeout=10).json()["jobs"]
        if all(job["state"] in ENDED for job in jobs):
            assert max(jobs, key=lambda job: job["start-time"])["state"] == "FINISHED"
            return
        assert time.monotonic() < deadline, jobs
        time.sleep(0.5)
