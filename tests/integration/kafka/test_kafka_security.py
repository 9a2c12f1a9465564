"""A Kafka that asks who we are, in plain text and by TLS."""

import logging
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from mastostream.config import KafkaSettings, Settings
from mastostream.exceptions import ConfigurationError, RetriableError
from mastostream.log.kafka import check_topics
from mastostream.ports.log import NewRecord
from mastostream.services import KafkaServer, find_java, free_port
from mastostream.testing.servers import REQUIRE
from mastostream.testing.temporary import temporary_server
from mastostream.wiring import kafka_client_config, log_reader, log_writer

pytestmark = pytest.mark.campaign

PASSWORD = "hunter2secret"
STORE_PASSWORD = "changeit"


@attrs.frozen
class Secured:
    """Ports by protocol, and the certificate to trust."""

    ports: dict[str, int]
    ca_file: Path

    def settings(self, protocol: str, **more: str) -> Settings:
        chosen = {"security.protocol": protocol, "sasl.mechanism": "PLAIN"}
        if protocol.endswith("SSL"):
            chosen["ssl.ca.location"] = str(self.ca_file)
        chosen |= {name.replace("_", "."): value for name, value in more.items()}
        servers = f"localhost:{self.ports[protocol]}"
        return Settings(log="kafka", kafka=KafkaSettings(servers=servers, settings=chosen))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("keys")
    ports: dict[str, int] = {}

    def server(where: Path, *, port: int = 0) -> KafkaServer:
        if port:
            ports["PLAINTEXT"] = port
        return KafkaServer(where, port=port or None, settings=broker_settings(folder, ports))

    with ExitStack() as stack:
        try:
            ca_file = make_keys(folder)
            for name in ("SASL_PLAINTEXT", "SSL", "SASL_SSL", "CONTROLLER"):
                ports[name] = free_port(tuple(ports.values()))
            stack.enter_context(temporary_server(server))
        except (ConfigurationError, RetriableError) as error:
            if os.environ.get(REQUIRE):
                raise
            pytest.skip(f"no server here: {error}")
        yield Secured(ports, ca_file)


def make_keys(folder: Path) -> Path:
    """Make the broker's key, with the tool that comes with Java; return its certificate."""
    keytool = find_java().executable.parent / "keytool"
    store = ["-keystore", folder / "broker.p12", "-storepass", STORE_PASSWORD, "-alias", "broker"]
    made = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=localhost", "-ext", "san=dns:localhost"]
    subprocess.run([keytool, *made, *store], check=True, capture_output=True)
    shown = subprocess.run(
        [keytool, "-exportcert", "-rfc", *store], check=True, capture_output=True
    )
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(shown.stdout)
    return ca_file


def broker_settings(folder: Path, ports: dict[str, int]) -> dict[str, object]:
    """Give each protocol a listener of its own; PLAINTEXT is for the broker itself."""
    jaas = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_me="{PASSWORD}";'
    clients = [name for name in ports if name != "CONTROLLER"]
    return {
        "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items()),
        "advertised.listeners": ",".join(f"{name}://localhost:{ports[name]}" for name in clients),
        "controller.quorum.voters": f"1@127.0.0.1:{ports.get('CONTROLLER')}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(
            f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in ports
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": jaas,
        "listener.name.sasl_ssl.plain.sasl.jaas.config": jaas,
        "ssl.keystore.location": folder / "broker.p12",
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.password": STORE_PASSWORD,
        "ssl.key.password": STORE_PASSWORD,
    }


@pytest.fixture(autouse=True)
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"KAFKA_USERNAME=me\nKAFKA_PASSWORD={PASSWORD}\n")


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SSL", "SASL_SSL"])
def test_records_go_both_ways_and_no_log_shows_the_password(
    secured: Secured, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = secured.settings(protocol, debug="all")
    topic = f"t-{uuid.uuid4().hex}"
    writer = log_writer(settings)
    writer.append([NewRecord(topic, "k", b"v")])
    writer.close()
    reader = log_reader(settings, topic, "g")
    assert [record.value for record in reader.read(10, 0.0)] == [b"v"]
    reader.close()
    assert "SASL" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_wrong_password_is_told(
    secured: Secured, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "another-secret")
    with pytest.raises(ConfigurationError) as caught:
        check_topics(kafka_client_config(secured.settings(protocol)), ["t"], create=False)
    assert "check KAFKA_USERNAME, KAFKA_PASSWORD" in str(caught.value)
    assert "Invalid username or password" in str(caught.value)
    assert "another-secret" not in str(caught.value)


def test_a_mechanism_that_the_broker_does_not_know_is_told(secured: Secured) -> None:
    settings = secured.settings("SASL_SSL", sasl_mechanism="SCRAM-SHA-256")
    with pytest.raises(ConfigurationError, match="supported mechanisms: PLAIN"):
        check_topics(kafka_client_config(settings), ["t"], create=False)


def test_a_certificate_that_nobody_vouches_for_is_told(secured: Secured) -> None:
    settings = secured.settings("SSL")
    del settings.kafka.settings["ssl.ca.location"]  # type: ignore[attr-defined]  # it is a dict
    with pytest.raises(ConfigurationError, match=r"do not agree on TLS .*check ssl\.\*"):
        check_topics(kafka_client_config(settings), ["t"], create=False)


def test_plain_text_to_a_port_that_wants_more_says_what_to_check(secured: Secured) -> None:
    servers = f"localhost:{secured.ports['SASL_PLAINTEXT']}"
    settings = Settings(log="kafka", kafka=KafkaSettings(servers=servers))
    with pytest.raises(RetriableError, match=r"cannot be reached .*security\.protocol"):
        check_topics(kafka_client_config(settings), ["t"], create=False)
