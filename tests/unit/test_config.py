"""Settings and credentials."""

from pathlib import Path

import pytest

from mastostream.config import Settings, credential_name, load_credentials, load_settings
from mastostream.exceptions import ConfigurationError


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('server = "file"\ninterval_s = 9\ndata = "file"\n[archive]\nrotate_s = 5\n')
    environ = {"MASTOSTREAM_INTERVAL_S": "8", "MASTOSTREAM_DATA": "env", "MASTOSTREAM_TAGS": "a, b"}
    settings = load_settings(file, {"data": "flag", "archive.compression": "gzip"}, environ)
    assert (settings.server, settings.interval_s, settings.data) == ("file", 8.0, "flag")
    assert settings.tags == ("a", "b")
    assert (settings.archive.rotate_s, settings.archive.compression) == (5.0, "gzip")


def test_a_prefix_may_come_from_the_environment() -> None:
    environ = {
        "MASTOSTREAM_KAFKA_TOPIC_PREFIX": "team-a.",
        "MASTOSTREAM_ELASTICSEARCH_INDEX_PREFIX": "team-a-",
    }
    settings = load_settings(environ=environ)
    assert settings.kafka.topic_prefix == "team-a."
    assert settings.elasticsearch.index_prefix == "team-a-"
    with pytest.raises(ConfigurationError, match=r"TOPIC_PREFIX: kafka: topic_prefix .a/b."):
        load_settings(environ={"MASTOSTREAM_KAFKA_TOPIC_PREFIX": "a/b"})


def test_without_anything_there_are_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(environ={}) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "is no TOML"),
        ("bla = 1", "unknown: bla"),
        ("[archive]\nfoo = 1", "archive: unknown: foo"),
        ("interval_s = 'soon'", "interval_s: expected float, got 'soon'"),
        ("tags = 'news'", "tags: expected a list"),
        ("partitions = 0", "partitions"),
        ("archive = 5", "archive"),
        ("[archive]\ncompression = 'rar'", "archive.compression"),
        ("[kafka.settings]\nlinger.ms = 5", "a name with dots stands in quotes"),
        (
            "[kafka]\ntopic_prefix = 'a b'",
            "topic_prefix 'a b' has ' ', which no topic of Kafka may",
        ),
        ("[elasticsearch]\nindex_prefix = 'A-'", "index_prefix 'A-' has a capital letter"),
        ("languages = ['en', 'English']", "'languages': 'English' is no language: expected a tag"),
        ("languages = ['']", "'languages': '' is no language: expected a tag of BCP 47"),
        ("[consent]\nlanguages = ['de', '*']", "consent: 'languages': '*' is no language"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, environ={})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no file"):
        load_settings(tmp_path / "none.toml", environ={})


def test_credentials_come_from_the_env_file_and_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ACCESS_TOKEN=from-file\nCLIENT_KEY=\n")
    credentials = load_credentials(tmp_path, {})
    assert (credentials.access_token, credentials.client_key) == ("from-file", None)
    assert "from-file" not in repr(credentials)
    assert load_credentials(tmp_path, {"ACCESS_TOKEN": "env"}).access_token == "env"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mastodon.social", "ACCESS_TOKEN_MASTODON_SOCIAL"),
        ("127.0.0.1:3000", "ACCESS_TOKEN_127_0_0_1_3000"),
        ("straße-1.example", "ACCESS_TOKEN_STRASSE_1_EXAMPLE"),
        ("мой.example", "ACCESS_TOKEN_____EXAMPLE"),
    ],
)
def test_a_server_has_names_of_its_own_for_its_credentials(host: str, name: str) -> None:
    assert credential_name("ACCESS_TOKEN", host) == name


def test_a_token_is_only_for_its_own_server(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ACCESS_TOKEN=plain\nACCESS_TOKEN_A_EXAMPLE=of-a\n")

    def token(host: str, *, only: bool = False, **environ: str) -> str | None:
        return load_credentials(tmp_path, environ, host, only).access_token

    assert token("a.example") == token("a.example", only=True) == "of-a"
    assert token("b.example") is None
    assert token("b.example", only=True) == "plain"
    assert token("a.example", ACCESS_TOKEN="env") == "of-a"
    assert token("a.example", only=True, ACCESS_TOKEN="env") == "of-a"
    assert token("a.example", ACCESS_TOKEN_A_EXAMPLE="env") == "env"
    assert token("a.example:8443") is None
    assert load_credentials(tmp_path, {}).access_token == "plain"


def test_an_empty_credential_of_a_server_leaves_the_plain_one(tmp_path: Path) -> None:
    environ = {"CLIENT_KEY": "plain", "CLIENT_KEY_A_EXAMPLE": ""}
    assert load_credentials(tmp_path, environ, "a.example", only=True).client_key == "plain"
    assert load_credentials(tmp_path, environ, "a.example").client_key is None
