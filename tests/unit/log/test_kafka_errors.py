"""Each error of Kafka's client becomes one of ours, and says what to do."""

import pickle

import pytest
from confluent_kafka import KafkaError, KafkaException

from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)
from mastostream.log.kafka import KafkaClientConfig, KafkaLogWriter, ensure_topics
from mastostream.log.kafka.errors import LOST_PARTITIONS, translate_error, translated
from mastostream.log.kafka.offsets import Offsets

SECRET = "hunter2secret"
PLACE = KafkaClientConfig(servers="broker.example:9092")
CODES = {
    name: code
    for name in dir(KafkaError)
    if name.strip("_").isupper() and isinstance(code := getattr(KafkaError, name), int)
}


def become(
    code: int, text: str | None = None, config: KafkaClientConfig = PLACE
) -> MastostreamError:
    error = KafkaException(KafkaError(code) if text is None else KafkaError(code, text))
    with pytest.raises(MastostreamError) as caught, translated(config):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize("name", CODES)
def test_every_code_of_the_client_is_translated(name: str) -> None:
    ours = become(CODES[name])
    assert type(ours) in (ConfigurationError, RetriableError, FatalError)
    assert "Kafka" in str(ours)
    assert str(pickle.loads(pickle.dumps(ours))) == str(ours)


def test_the_client_has_the_codes_that_are_walked() -> None:
    assert {"_TRANSPORT", "TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART"} <= set(CODES)
    assert len(CODES) > 150


@pytest.mark.parametrize(
    ("codes", "kind", "told"),
    [
        (
            ["_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM"],
            ConfigurationError,
            "check KAFKA_USERNAME, KAFKA_PASSWORD",
        ),
        (["_SSL"], ConfigurationError, "check ssl.* in [kafka.settings]"),
        (
            [name for name in CODES if name.endswith("AUTHORIZATION_FAILED")],
            ConfigurationError,
            "ask for the permission",
        ),
        (
            ["UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"],
            ConfigurationError,
            "'mastostream topics' creates",
        ),
        (["MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"], FatalError, "raise max.message.bytes"),
        (
            ["_INVALID_ARG", "INVALID_REPLICATION_FACTOR", "POLICY_VIOLATION", "TOPIC_EXCEPTION"],
            ConfigurationError,
            "check [kafka]",
        ),
        (["_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"], RetriableError, "cannot be reached"),
        (
            [
                *("_TIMED_OUT", "_MSG_TIMED_OUT", "_NOENT", "NOT_LEADER_FOR_PARTITION"),
                *("FENCED_LEADER_EPOCH", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_ENOUGH_REPLICAS"),
                *("LEADER_NOT_AVAILABLE", "KAFKA_STORAGE_ERROR", "PRODUCER_FENCED", "_FENCED"),
            ],
            RetriableError,
            "cannot do it now",
        ),
        (["_FS", "_FATAL", "UNSUPPORTED_VERSION", "_BAD_MSG"], FatalError, "its own log"),
    ],
)
def test_what_a_code_means(codes: list[str], kind: type[MastostreamError], told: str) -> None:
    for name in codes:
        ours = become(CODES[name])
        assert type(ours) is kind, name
        assert told in str(ours), name


@pytest.mark.parametrize("code", sorted(LOST_PARTITIONS))
def test_what_belongs_to_another_reader_now_is_tried_again(code: int) -> None:
    assert type(become(code)) is RetriableError


def test_it_says_where_and_what_without_the_client_s_own_bookkeeping() -> None:
    where = "sasl_ssl://broker.example:9092/bootstrap"
    text = f"{where}: SASL authentication error: no\nway (after 301ms in state AUTH_REQ)"
    assert str(become(KafkaError._AUTHENTICATION, text)) == (
        "Kafka at broker.example:9092 does not accept us (SASL authentication error: no way): "
        "check KAFKA_USERNAME, KAFKA_PASSWORD and [kafka]"
    )


def test_a_full_queue_is_tried_again() -> None:
    with pytest.raises(RetriableError, match="fast enough"), translated(PLACE):
        raise BufferError("Local: Queue full")


def test_a_defect_is_not_translated() -> None:
    with pytest.raises(KeyError), translated(PLACE):
        raise KeyError("x")


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.keystore.password",
        "ssl.key.pem",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
    ],
)
def test_a_secret_is_never_shown(name: str) -> None:
    config = KafkaClientConfig(settings={name: SECRET})
    assert SECRET not in repr(config)
    for code in CODES.values():
        ours = translate_error(KafkaError(code, f"{name}={SECRET} is not liked"), config)
        assert SECRET not in str(ours)
        assert SECRET not in repr(ours)
        assert name in str(ours)


def test_what_is_no_secret_stays_readable() -> None:
    """Where keys are kept is none, and a short value stands in any sentence."""
    settings = {"ssl.key.location": "/etc/key.pem", "sasl.password": "a", "ssl.key.password": ""}
    text = "a file /etc/key.pem is not there"
    told = str(
        translate_error(KafkaError(KafkaError._SSL, text), KafkaClientConfig(settings=settings))
    )
    assert text in told


def test_a_secret_of_several_lines_is_not_shown_either() -> None:
    key = "-----BEGIN\nhunter2\nsecret\n-----END"
    config = KafkaClientConfig(settings={"ssl.key.pem": key})
    assert "hunter2" not in str(translate_error(KafkaError(KafkaError._SSL, f"bad {key}!"), config))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"no.such.setting": "1"}, "no.such.setting"),
        ({"linger.ms": "soon"}, "queue.buffering.max.ms"),  # its other name
        ({"retry.backoff.ms": "999999999"}, "retry.backoff.ms"),
        ({"security.protocol": "tls"}, "security.protocol"),
        ({"ssl.ca.location": "/none/ca.pem", "security.protocol": "ssl"}, "ssl.ca.location"),
        ({"ssl.key.pem": SECRET, "security.protocol": "ssl"}, "ssl.key.pem"),
    ],
)
def test_a_wrong_setting_gets_one_sentence_that_names_it(
    settings: dict[str, str], named: str
) -> None:
    config = KafkaClientConfig(settings=settings)
    for attempt in (
        lambda: KafkaLogWriter(config),
        lambda: ensure_topics(config, ["t"]),
        lambda: Offsets(config).first("t", [0]),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        message = str(caught.value)
        assert named in message
        assert "check [kafka]" in message
        assert "\n" not in message
        assert SECRET not in message
