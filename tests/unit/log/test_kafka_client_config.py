"""Which settings Kafka's clients get, and where their log goes."""

import logging
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from confluent_kafka import Consumer, Producer
from hypothesis import given
from hypothesis import strategies as st

from mastostream.config import KafkaSettings, RetentionSettings, Settings
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.log.kafka import KafkaClientConfig
from mastostream.log.kafka.client_log import LOGGER
from mastostream.log.kafka.metadata import topic_map
from mastostream.services import free_port
from mastostream.wiring import kafka_client_config, log_name, topic_name

CLIENT_LOG = "mastostream.log.kafka.client"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No .env of this machine is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_USERNAME", raising=False)
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    return tmp_path


def all_kinds(config: KafkaClientConfig) -> list[dict[str, Any]]:
    return [config.admin(), config.producer(), config.consumer("g")]


@given(st.sampled_from(["", "a-", "team.a."]), st.text("ab-._"))
def test_every_name_in_kafka_begins_with_the_prefix(prefix: str, name: str) -> None:
    config = KafkaClientConfig(topic_prefix=prefix)
    assert config.full_name(name) == config.consumer(name)["group.id"] == prefix + name
    assert (
        KafkaClientConfig().full_name(name)
        == KafkaClientConfig().consumer(name)["group.id"]
        == name
    )
    assert config.producer() == KafkaClientConfig().producer()


def test_a_prefix_that_no_topic_may_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"\[kafka\] topic_prefix 'a b' has ' ', which no"):
        KafkaClientConfig(topic_prefix="a b")


def test_the_prefix_of_the_settings_is_that_of_the_place() -> None:
    settings = Settings(log="kafka", kafka=KafkaSettings(topic_prefix="a."))
    assert kafka_client_config(settings).topic_prefix == "a."
    assert topic_name(settings, "t") == "a.t"
    assert log_name(settings) == "Kafka at localhost:9092 (topics a.*)"
    assert topic_name(attrs.evolve(settings, log="sqlite"), "t") == "t"
    assert log_name(Settings(log="kafka")) == "Kafka at localhost:9092"


def test_the_user_s_settings_win() -> None:
    mine = {
        "client.id": "mine",
        "linger.ms": "50",
        "acks": "1",
        "compression.type": "gzip",
        "isolation.level": "read_uncommitted",
        "session.timeout.ms": "45000",
        "partitioner": "random",
    }
    for kind in all_kinds(KafkaClientConfig(settings=mine)):
        assert {name: kind[name] for name in mine} == mine


def test_settings_of_a_transaction_reach_the_producer() -> None:
    assert KafkaClientConfig().producer(**{"transactional.id": "x"})["transactional.id"] == "x"


def test_without_any_nothing_that_was_acknowledged_is_lost_and_nothing_comes_twice() -> None:
    producer, consumer = KafkaClientConfig().producer(), KafkaClientConfig().consumer("g")
    assert producer["enable.idempotence"] is True
    assert producer["acks"] == "all"
    assert producer["message.timeout.ms"] == 0
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["enable.auto.commit"] is False


@pytest.mark.parametrize(
    "name",
    [
        "auto.offset.reset",
        "delivery.timeout.ms",  # another name of message.timeout.ms
        "enable.auto.commit",
        "error_cb",
        "group.id",
        "group.protocol",
        "logger",
        "message.timeout.ms",
        "partition.assignment.strategy",
        "transactional.id",
    ],
)
def test_what_promises_depend_on_cannot_be_set(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"\[kafka.settings\] {name}: .*cannot be set"):
        KafkaClientConfig(settings={"linger.ms": "5", name: "1"})


@pytest.mark.parametrize("name", ["bootstrap.servers", "metadata.broker.list"])
def test_servers_stand_in_one_place(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"name the servers in \[kafka\] servers"):
        KafkaClientConfig(settings={name: "elsewhere:9092"})


def test_tls_and_sasl_reach_every_client() -> None:
    mine = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "hunter2secret",
        "enable.ssl.certificate.verification": "false",
    }
    config = KafkaClientConfig(settings=mine)
    for kind in all_kinds(config):
        assert {name: kind[name] for name in mine} == mine
    Producer(config.producer())
    Consumer(config.consumer("g")).close()


def test_who_we_are_comes_from_the_environment_or_env_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".env").write_text("KAFKA_USERNAME=from-file\nKAFKA_PASSWORD=hunter2secret\n")
    config = kafka_client_config(Settings())
    assert config.settings["sasl.username"] == "from-file"
    assert config.settings["sasl.password"] == "hunter2secret"
    assert "hunter2secret" not in repr(config)
    monkeypatch.setenv("KAFKA_USERNAME", "from-environment")
    assert kafka_client_config(Settings()).settings["sasl.username"] == "from-environment"
    written = Settings(kafka=KafkaSettings(settings={"sasl.username": "from-settings"}))
    assert kafka_client_config(written).settings["sasl.username"] == "from-settings"
    assert kafka_client_config(written).settings["sasl.password"] == "hunter2secret"


def test_without_credentials_none_are_sent() -> None:
    assert kafka_client_config(Settings()).settings == {}


def test_a_secret_among_the_settings_is_never_printed() -> None:
    kafka = KafkaSettings(settings={"sasl.password": "hunter2secret"})
    assert "hunter2secret" not in repr(Settings(kafka=kafka))
    assert "hunter2secret" not in repr(kafka_client_config(Settings(kafka=kafka)))


def test_a_question_waits_as_long_as_the_user_says_and_at_most_ten_seconds() -> None:
    def waits_s(value: str) -> float:
        return KafkaClientConfig(settings={"socket.timeout.ms": value}).timeout_s

    assert (waits_s("250"), waits_s("60000"), KafkaClientConfig().timeout_s) == (0.25, 10.0, 10.0)
    with pytest.raises(ConfigurationError, match=r"socket.timeout.ms: expected a number"):
        waits_s("soon")


def test_retention_is_for_ever_unless_it_is_set() -> None:
    config = kafka_client_config(Settings())
    assert (config.retention_ms, config.retention_bytes) == (-1, -1)
    kept = RetentionSettings(age_days=0.5, size_bytes=1_000)
    config = kafka_client_config(Settings(retention=kept))
    assert (config.retention_ms, config.retention_bytes) == (43_200_000, 1_000)


def test_a_broker_that_is_not_there_is_told_with_the_reason() -> None:
    servers = f"127.0.0.1:{free_port()}"
    with pytest.raises(RetriableError, match=f"{servers} cannot be reached .*refused.*start it"):
        topic_map(KafkaClientConfig(servers=servers, settings={"socket.timeout.ms": "500"}))


def test_librdkafka_s_log_goes_to_python_s(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    producer = Producer(KafkaClientConfig(servers=f"127.0.0.1:{port}").producer())
    deadline = time.monotonic() + 30
    with caplog.at_level(logging.WARNING, CLIENT_LOG):
        while not (told := [each for each in caplog.records if str(port) in each.getMessage()]):
            assert time.monotonic() < deadline, "nothing was logged"
            producer.poll(0.05)
    assert {each.name for each in told} == {CLIENT_LOG}
    assert {each.levelname for each in told} == {"WARNING"}, "the stage goes on"


def test_what_it_repeats_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    text = "FAIL [%s] [thrd:x]: x: Connect failed: refused (after %dms in state CONNECT)"
    with caplog.at_level(logging.WARNING, CLIENT_LOG):
        for number in range(100):
            LOGGER.error(text, f"mastostream#producer-{number}", number)
        LOGGER.error("FAIL [a] [b]: y: Connect failed")
    assert len(caplog.records) == 2


def test_what_it_tries_again_and_what_it_does_not_know_warns_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, CLIENT_LOG):
        LOGGER.warning("GETPID [a] [b]: Coordinator load in progress: retrying")
        LOGGER.warning("CONFWARN [a] [b]: Configuration property x is a producer property")
    assert not caplog.records
    with caplog.at_level(logging.INFO, CLIENT_LOG):
        LOGGER.warning("GETPID [a] [b]: Coordinator load in progress: retrying")
    assert [each.levelname for each in caplog.records] == ["INFO"]
