"""SQL on Flink: the records of the local engine, and files that Flink's own SQL client runs."""

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

import pytest
import requests

from mastostream import Account, Deletion, Post, Rejected, Stamp, Tag, decode, encode
from mastostream.core.models import Event
from mastostream.core.topic_names import COUNTS, DASHBOARD, LATE, STREAM
from mastostream.engines.flink import ENDED
from mastostream.log.kafka import KafkaClientConfig, KafkaLogReader, KafkaLogWriter, ensure_topics
from mastostream.ports.log import NewRecord
from mastostream.services import FlinkCluster, KafkaServer, download
from mastostream.services.versions import FLINK_KAFKA_JAR
from mastostream.testing.conformance.log import new_prefix, new_topic, read_all

from .flink_inputs import arbitrary, history

BIN = Path(sys.executable).parent
START = datetime(2026, 9, 1, tzinfo=UTC)
SHOWN = ("engagement", "language", "users")
LANGUAGES = ("en", "pt-BR", "PT_pt", " de ", "", None)
ACCOUNTS = ("alice", "bob@example.org", "carol")
TAGS = ("news", "Café", "straße", "ＡＢＣ", "日本語", "हिन्दी", "a-b", "--", "l·l")

Records = Counter[str]


@pytest.fixture(scope="module")
def place(kafka_server: KafkaServer) -> KafkaClientConfig:
    """Topics that no other test uses. With one partition, the same posts are late each time."""
    return KafkaClientConfig(servers=kafka_server.address, partitions=1, topic_prefix=new_prefix())


@pytest.fixture(scope="module")
def expected(
    place: KafkaClientConfig,
    real_statuses: Sequence[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    thorough: bool,
) -> dict[str, Records]:
    """The local engine's records, by topic or by the name of an analysis that is only shown."""
    ensure_topics(place, [STREAM, COUNTS, DASHBOARD, LATE])
    with closing(KafkaLogWriter(place)) as writer:
        simulated = tmp_path_factory.mktemp("simulated") if thorough else None
        writer.append(history(real_statuses, simulated))
        writer.append(arbitrary(START - timedelta(minutes=10), START, tags=TAGS))
        writer.append([*made(random.Random(1)), *broken()])
    folder = tmp_path_factory.mktemp("local")
    records = {}
    for name in SHOWN:
        records[name] = shown(analyze(place, folder, name, "--close-windows"))
    analyze(place, folder, "count", "--analysis", "dashboard", "--close-windows")
    records |= written(place)
    own = ("count", "dashboard")
    late = (text for text in records[LATE].elements() if json.loads(text)["analysis"] in own)
    return records | {LATE: Counter(late)}


def post(chance: random.Random, key: str, seconds: float, event: Event = "new") -> NewRecord:
    tags = chance.sample(TAGS, chance.randrange(4))
    text = " ".join(f'<a href="https://a.example/tags/x">#<span>{tag}</span></a>' for tag in tags)
    stamp = Stamp(key=key, event=event, instance="a.example", observed_at=START)
    status = Post(
        id=key,
        created_at=START + timedelta(seconds=seconds),
        account=Account(acct=chance.choice(ACCOUNTS)),
        language=chance.choice(LANGUAGES),
        content=f"<p>{text} {text if chance.random() < 0.3 else ''} #{chance.choice(TAGS)}.</p>",
        tags=tuple(Tag(name=tag) for tag in tags),
        favourites_count=chance.randrange(5),
        reblogs_count=chance.randrange(5),
        replies_count=chance.randrange(5),
        quotes_count=chance.randrange(5),
        mastostream=stamp,
    )
    return NewRecord(STREAM, key, encode(status))


def made(chance: random.Random) -> list[NewRecord]:
    """Return posts out of order, some repeated, edited, deleted, boosted, late, or ahead."""
    records = []
    for number in range(1_500):
        now_s = number / 2
        records.append(post(chance, f"p{number}", now_s - chance.random() * 25))
        known = f"p{chance.randrange(number + 1)}"
        match chance.randrange(12):
            case 0:
                records.append(records[-1])
            case 1:
                records.append(post(chance, known, now_s, "edit"))
            case 2:
                records.append(post(chance, f"u{number}", now_s - 200, "refresh"))
            case 3:
                stamp = Stamp(key=known, event="delete", observed_at=START)
                records.append(
                    NewRecord(STREAM, known, encode(Deletion(id="1", mastostream=stamp)))
                )
            case 4:
                records.append(post(chance, f"late{number}", now_s - chance.randrange(40, 300)))
            case 5:
                records.append(boost(records[-1], f"b{number}", stamped=chance.random() < 0.5))
            case 6 if number > 1_450:  # its arrival becomes the event time of the stream
                records.append(post(chance, f"ahead{number}", 10**9))
            case _:
                pass
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


def analyze(place: KafkaClientConfig, folder: Path, name: str, *arguments: str) -> str:
    """Run analyses once; return the output, which is lines of JSON."""
    done = subprocess.run(
        command(name, "--once", *arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment_of(place, folder),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(output: str) -> Records:
    lines = (json.loads(line) for line in output.splitlines())
    return Counter(canonical(line["record"]) for line in lines if "record" in line)


def canonical(record: dict[str, object]) -> str:
    """Return a record as a text that does not depend on how its times are written."""
    times = {
        name: datetime.fromisoformat(value).isoformat(timespec="milliseconds")
        for name, value in record.items()
        if isinstance(value, str) and name in {"created_at", "watermark"}
    }
    if "reason" in record:
        times["observed_at"] = ""  # the time of day
    return json.dumps(record | times, sort_keys=True)


def written(place: KafkaClientConfig) -> dict[str, Records]:
    by_topic = {}
    for topic in (COUNTS, DASHBOARD, LATE):
        reader = KafkaLogReader(place, topic=topic, group=new_topic())
        records = read_all(reader)
        reader.close()
        for record in records:
            assert json.loads(record.value)["key"] == record.key
        by_topic[topic] = Counter(canonical(json.loads(record.value)) for record in records)
    return by_topic


@pytest.mark.campaign
def test_real_statuses_are_among_them(
    corpus: Sequence[bytes], expected: dict[str, Records]
) -> None:
    assert any(json.loads(record)["key"].startswith("2022-11-") for record in expected[COUNTS])


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_only_shown_is_what_the_local_engine_shows(
    place: KafkaClientConfig,
    expected: dict[str, Records],
    on_flink: Sequence[str],
    tmp_path: Path,
    name: str,
) -> None:
    before = written(place)
    records = shown(analyze(place, tmp_path, name, *on_flink))
    assert records == expected[name]
    assert len(records) > 10
    assert written(place) == before, "what is shown is not written"


def test_what_is_written_is_what_the_local_engine_writes(
    place: KafkaClientConfig, expected: dict[str, Records], on_flink: Sequence[str], tmp_path: Path
) -> None:
    before = written(place)
    analyze(place, tmp_path, "count", "--analysis", "dashboard", *on_flink)
    added = {topic: records - before[topic] for topic, records in written(place).items()}
    for topic in (COUNTS, DASHBOARD, LATE):
        assert added[topic] == expected[topic], topic
        assert added[topic].total() > 10, topic


@pytest.mark.campaign
def test_what_is_written_may_be_shown_instead(
    place: KafkaClientConfig, expected: dict[str, Records], tmp_path: Path
) -> None:
    records = shown(analyze(place, tmp_path, "count", "--engine", "flink", "--print"))
    assert records == expected[COUNTS]


@pytest.mark.campaign
def test_what_is_no_json_is_counted(
    place: KafkaClientConfig, expected: dict[str, Records], tmp_path: Path
) -> None:
    """The records read are counted too. Both counts come from Flink."""
    with closing(KafkaLogReader(place, topic=STREAM, group=new_topic())) as reader:
        values = [record.value for record in read_all(reader)]
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
def test_a_file_runs_in_the_sql_client_as_it_stands(
    place: KafkaClientConfig,
    expected: dict[str, Records],
    flink_cluster: FlinkCluster,
    tmp_path: Path,
) -> None:
    """Except for the address, and for an end of the input. One file writes, one only shows."""
    before = written(place)[COUNTS]
    output = in_sql_client(place, flink_cluster, tmp_path, "count")
    until_ended(flink_cluster)
    assert written(place)[COUNTS] - before == expected[COUNTS], output
    output = in_sql_client(place, flink_cluster, tmp_path, "users")
    rows = [line for line in output.splitlines() if line.startswith("|") and "+I" in line]
    assert len(rows) == expected["users"].total(), output


def in_sql_client(place: KafkaClientConfig, cluster: FlinkCluster, folder: Path, name: str) -> str:
    text = (files("mastostream.engines.flink") / "sql" / f"{name}.sql").read_text()
    text = text.replace("localhost:9092", place.servers)
    for topic in (STREAM, COUNTS, DASHBOARD, LATE):
        text = text.replace(f"'{topic}'", f"'{place.topic_prefix}{topic}'")
    startup = "'scan.startup.mode' = 'earliest-offset',"
    text = text.replace(startup, f"{startup} 'scan.bounded.mode' = 'latest-offset',")
    (folder / f"{name}.sql").write_text(text)
    host, port = cluster.address.split(":")
    jar = download(FLINK_KAFKA_JAR, "jar", lambda *_: None)
    home = next(iter(files("pyflink").iterdir())).parent  # type: ignore[attr-defined]
    command = ["bash", home / "bin" / "sql-client.sh", "-j", jar, "-f", folder / f"{name}.sql"]
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
