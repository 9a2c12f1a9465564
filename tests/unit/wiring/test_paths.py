"""Where the data of pipelines is that differ in their prefix alone."""

from pathlib import Path

import attrs
import pytest

from mastostream.archiver import Archiver
from mastostream.config import ArchiveSettings, KafkaSettings, Settings
from mastostream.exceptions import BusyError
from mastostream.ports.clock import SystemClock
from mastostream.runner import run_until_idle
from mastostream.sinks.archive import open_place
from mastostream.testing.fakes import FakeLog
from mastostream.wiring import data_paths, stage_lock, verify
from mastostream.wiring.archiver_stage import archive_sink

PREFIXES = ("", "a.", "b.")


def settings_of(folder: Path, prefix: str) -> Settings:
    return Settings(
        data=str(folder / "data"),
        log="kafka",
        kafka=KafkaSettings(topic_prefix=prefix),
        archive=ArchiveSettings(folder=str(folder / "archive"), compression="none"),
    )


def test_files_in_one_data_folder_are_each_pipeline_s_own(tmp_path: Path) -> None:
    everybody = [data_paths(settings_of(tmp_path, prefix)) for prefix in PREFIXES]
    for files in (
        {paths.collector_state for paths in everybody},
        {paths.log for paths in everybody},
    ):
        assert len(files) == len(PREFIXES)
        assert {file.parent for file in files} == {tmp_path / "data"}


def test_without_a_prefix_and_without_kafka_files_are_called_as_ever(tmp_path: Path) -> None:
    plain = settings_of(tmp_path, "")
    assert data_paths(plain).collector_state == tmp_path / "data" / "collector.sqlite3"
    assert data_paths(plain).log == tmp_path / "data" / "mastostream.sqlite3"
    assert data_paths(attrs.evolve(settings_of(tmp_path, "a."), log="sqlite")) == data_paths(
        attrs.evolve(plain, log="sqlite")
    )


def test_one_collector_of_each_pipeline_works_at_a_time(tmp_path: Path) -> None:
    first, second = (settings_of(tmp_path, prefix) for prefix in ("a.", "b."))
    with stage_lock(first, ["collect"]), stage_lock(second, ["collect"]):
        for settings in (first, second):
            with (
                pytest.raises(BusyError, match="already runs 'collect'"),
                stage_lock(settings, ["collect"]),
            ):
                pass


def test_archives_in_one_folder_are_each_pipeline_s_own(tmp_path: Path) -> None:
    """With the same offsets of the same topic and partition."""
    everybody = [settings_of(tmp_path, prefix) for prefix in PREFIXES]
    logs = [FakeLog() for _ in everybody]
    for count, (settings, log) in enumerate(zip(everybody, logs, strict=True), start=1):
        log.append("t", *[f'"{settings.kafka.topic_prefix}"'.encode()] * count)

    def archiver(settings: Settings, log: FakeLog) -> Archiver:
        place = open_place(data_paths(settings).archive, settings.hdfs)
        sink = archive_sink(settings, "t", SystemClock(), *place)
        return Archiver(log.reader("t", "archive"), sink)

    for _ in range(2):
        run_until_idle(list(map(archiver, everybody, logs)))
    for count, settings in enumerate(everybody, start=1):
        name = f"{settings.kafka.topic_prefix}t"
        (file,) = (tmp_path / "archive" / name).glob(f"{name}+00000+*.jsonl")
        assert file.read_text() == f'"{settings.kafka.topic_prefix}"\n' * count
        result = verify(settings, "t", lambda _: None)
        assert [facts.records for facts in result.partitions] == [count]
        assert not result.problems
