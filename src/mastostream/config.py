"""Settings: ``mastostream.toml``, overridden by ``MASTOSTREAM_*``, overridden by flags.

In the environment a setting is its path in upper case, joined by ``_``: ``MASTOSTREAM_SERVER``,
``MASTOSTREAM_ARCHIVE_COMPRESSION``. Credentials are not settings: they stand in ``.env`` or the
environment as ``CLIENT_KEY``, ``CLIENT_SECRET`` and ``ACCESS_TOKEN``, or under each server's own
names; those of Kafka and Elasticsearch as ``KAFKA_USERNAME``, ``KAFKA_PASSWORD``,
``ELASTICSEARCH_API_KEY``, ``ELASTICSEARCH_USERNAME`` and ``ELASTICSEARCH_PASSWORD``.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from mastostream.exceptions import ConfigurationError
from mastostream.prefixes import check_index_prefix, check_topic_prefix

__all__ = [
    "CONFIG_FILE",
    "CREDENTIAL_NAMES",
    "ArchiveSettings",
    "CollectSettings",
    "ConsentSettings",
    "Credentials",
    "ElasticsearchSettings",
    "FlinkSettings",
    "HdfsSettings",
    "KafkaSettings",
    "KibanaSettings",
    "RetentionSettings",
    "ServerSettings",
    "ServicesSettings",
    "Settings",
    "WeightSettings",
    "WindowSettings",
    "credential_name",
    "load_credentials",
    "load_secrets",
    "load_settings",
]

CONFIG_FILE: Final = "mastostream.toml"
CREDENTIAL_NAMES: Final = ("CLIENT_KEY", "CLIENT_SECRET", "ACCESS_TOKEN")


@attrs.frozen(kw_only=True)
class WeightSettings:
    """What each kind of reaction counts for: whole numbers, 0 to 2**20."""

    favourites: int = 1
    reblogs: int = 2
    replies: int = 3
    quotes: int = 2


@attrs.frozen(kw_only=True)
class WindowSettings:
    """How windows wait. Seconds."""

    delay_s: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))
    idle_timeout_s: float = attrs.field(default=30.0, validator=attrs.validators.gt(0))


@attrs.frozen(kw_only=True)
class RetentionSettings:
    """How much of each topic is kept. 0 keeps everything."""

    age_days: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    size_bytes: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@attrs.frozen(kw_only=True)
class ArchiveSettings:
    """How the archive writes its files.

    Attributes:
        folder: a folder, or ``hdfs://host:port/path``; empty for ``archive`` in the data folder.
        format: JSON lines, or Parquet: the columns of a post plus the raw status.
        compression: of JSON lines; of Parquet the pages.
        by_date: a folder for each day (UTC) on which the log took the records: ``date=2026-01-31``.
        rotate_bytes: a file is finished at this size, before compression.
        rotate_records: and at this many records; 0 for any number.
        rotate_s: and at this age.
    """

    folder: str = ""
    format: Literal["jsonl", "parquet"] = "jsonl"
    compression: Literal["none", "gzip", "zstd"] = "zstd"
    by_date: bool = False
    rotate_bytes: int = attrs.field(default=128 * 2**20, validator=attrs.validators.ge(1))
    rotate_records: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    rotate_s: float = attrs.field(default=60.0, validator=attrs.validators.gt(0))


@attrs.frozen(kw_only=True)
class KafkaSettings:
    """How Kafka is reached and used.

    Attributes:
        servers: ``host:port``, several separated by commas.
        delivery: of the engine. At least once: after a crash some outputs come again, under the
            same keys and versions. Exactly once: in transactions.
        compression: of what is sent.
        partitions: of a topic that is created: so many processes can share the work at most.
        replication: of a topic that is created.
        group: the consumer groups' names begin with it.
        topic_prefix: names of topics, consumer groups, transactions and Flink jobs begin with it,
            and so do folders of the archive and files in the data folder: pipelines that differ in
            it share nothing.
        settings: any settings of librdkafka, by its own names; they win over all others.
    """

    servers: str = "localhost:9092"
    delivery: Literal["at-least-once", "exactly-once"] = "at-least-once"
    compression: Literal["lz4", "zstd", "none"] = "lz4"
    partitions: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    replication: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    group: str = "mastostream"
    topic_prefix: str = attrs.field(
        default="", validator=lambda _, __, prefix: check_topic_prefix(prefix)
    )
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class ElasticsearchSettings:
    """How Elasticsearch is reached and used.

    Attributes:
        hosts: URLs.
        ca_file: the certificate that signed the server's, PEM; empty for the system's.
        index_prefix: names of indices, aliases and templates begin with it, and so do ids of what
            is imported into Kibana: pipelines that differ in it share nothing.
        shards: of an index that is created.
        replicas: of an index that is created: a number, or a range that follows the nodes.
        refresh_s: how soon a document can be found.
        batch_documents: a request is sent with this many documents,
        batch_bytes: or at this size,
        batch_s: or after waiting so long for more.
    """

    hosts: tuple[str, ...] = ("http://localhost:9200",)
    ca_file: str = ""
    index_prefix: str = attrs.field(
        default="", validator=lambda _, __, prefix: check_index_prefix(prefix)
    )
    shards: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    replicas: str = attrs.field(default="0-1", validator=attrs.validators.matches_re(r"\d+(-\d+)?"))
    refresh_s: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))
    batch_documents: int = attrs.field(default=1_000, validator=attrs.validators.ge(1))
    batch_bytes: int = attrs.field(default=5 * 2**20, validator=attrs.validators.ge(1))
    batch_s: float = attrs.field(default=0.2, validator=attrs.validators.ge(0))


@attrs.frozen(kw_only=True)
class HdfsSettings:
    """How HDFS is reached.

    Attributes:
        backend: ``native`` needs no Java; ``pydoop`` uses Hadoop's own client; ``webhdfs`` goes
            through HTTP.
        user: whose files are written; empty for the user of this process.
        webhdfs_url: of the NameNode's web server; empty for port 9870 of the host.
        settings: any settings of Hadoop's client (``core-site.xml``), for ``native``.
    """

    backend: Literal["native", "pydoop", "webhdfs"] = "native"
    user: str = ""
    webhdfs_url: str = ""
    settings: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class KibanaSettings:
    """How Kibana is reached.

    Attributes:
        space: empty for the default space.
        ca_file: the certificate that signed the server's, PEM; empty for the system's.
    """

    url: str = "http://localhost:5601"
    space: str = ""
    ca_file: str = ""


@attrs.frozen(kw_only=True)
class ServicesSettings:
    """Where the servers live that ``services`` starts.

    Attributes:
        folder: their data, logs and configuration.
    """

    folder: str = "mastostream-services"


@attrs.frozen(kw_only=True)
class ServerSettings:
    """One of several servers to follow.

    Attributes:
        server: a host name or a URL.
        tags: its hashtags; empty for the common ones.
        mode: how it is read; empty for the common way.
    """

    server: str
    tags: tuple[str, ...] = ()
    mode: Literal["", "auto", "poll", "stream"] = ""


@attrs.frozen(kw_only=True)
class CollectSettings:
    """How servers are read. Times in seconds.

    Attributes:
        mode: ``stream`` by WebSocket or server-sent events, ``poll``, or ``auto`` for what the
            server really offers.
        key: what a post is called: ``id`` suits one server, ``uri`` several; ``auto`` takes the one
            that fits.
        longest_interval_s: between two looks at a quiet hashtag.
        refresh_after_s: when a post's counts are read again, after its first sight.
        overlap_s: between two readings of pages that were read before, for posts that come late.
        overlap_horizon_s: how far back the longest of them reach.
        heartbeat_timeout_s: a stream that sends nothing for so long is dead. Three heartbeats.
        request_timeout_s: an answer that takes longer is given up.
        requests_per_5_min: what a server allows, unless its answers say otherwise. Nine tenths of
            it are used.
        paging_requests_per_15_min: the same of requests that page back, of which answers say
            nothing.
    """

    mode: Literal["auto", "poll", "stream"] = "auto"
    key: Literal["auto", "id", "uri"] = "auto"
    longest_interval_s: float = attrs.field(default=30.0, validator=attrs.validators.ge(0.05))
    refresh_after_s: tuple[float, ...] = (300.0, 3_600.0, 86_400.0)
    overlap_s: float = attrs.field(default=600.0, validator=attrs.validators.gt(0))
    overlap_horizon_s: float = attrs.field(default=86_400.0, validator=attrs.validators.ge(0))
    heartbeat_timeout_s: float = attrs.field(default=45.0, validator=attrs.validators.gt(0))
    request_timeout_s: float = attrs.field(default=20.0, validator=attrs.validators.gt(0))
    requests_per_5_min: int = attrs.field(default=300, validator=attrs.validators.ge(10))
    paging_requests_per_15_min: int = attrs.field(default=300, validator=attrs.validators.ge(10))


@attrs.frozen(kw_only=True)
class ConsentSettings:
    """Whose posts are left out, and whether names are. What is left out is counted.

    Attributes:
        leave_out_noindex: accounts that opted out of search engines.
        leave_out_bots: accounts that say that they are automated.
        languages: only posts in these; empty for all.
        visibilities: only posts of these.
        pseudonym_key_file: a file with the secret that turns account names into pseudonyms; keep
            it outside the data. Empty: names stay.
    """

    leave_out_noindex: bool = False
    leave_out_bots: bool = False
    languages: tuple[str, ...] = ()
    visibilities: tuple[str, ...] = ("public", "unlisted")
    pseudonym_key_file: str = ""


@attrs.frozen(kw_only=True)
class FlinkSettings:
    """How analyses run on Flink.

    Attributes:
        target: ``local``, a cluster within the process; or ``host:port`` of a JobManager.
        jar: Flink's connector for Kafka; empty: it is downloaded.
        parallelism: of the job; 0 leaves it to the cluster's configuration, and is 1 within the
            process, and for SQL: with more, latency suffers where cores are few.
        checkpoint_s: seconds between two checkpoints.
        bundle_records: so many posts cross from Java to Python at once, at most,
        bundle_ms: or those that came in so many milliseconds.
        on_error: what a post for which a function fails does: it becomes a dead letter, or it fails
            the job, which Flink's restart strategy may start again.
        python_archive: of ``mastostream flink package``, for TaskManagers without this package;
            empty where they have it.
        settings: any settings of Flink, by its own names; they win over all others.
        kafka: any settings of Kafka's Java client, by its own names.
    """

    target: str = "local"
    jar: str = ""
    parallelism: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    checkpoint_s: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))
    bundle_records: int = attrs.field(default=1_000, validator=attrs.validators.ge(1))
    bundle_ms: int = attrs.field(default=10, validator=attrs.validators.ge(1))
    on_error: Literal["dead-letter", "fail"] = "dead-letter"
    python_archive: str = ""
    settings: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    kafka: Mapping[str, str] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Settings:
    """All settings with their defaults.

    Attributes:
        data: the folder of log, index, archive and the collector's memory.
        log: where records stand: in the data folder, or in Kafka.
        index: where results can be looked up: in the data folder, or in Elasticsearch.
        server: the Mastodon server to follow, a host name or a URL.
        tags: the hashtags to follow.
        servers: several servers to follow, instead of ``server``.
        interval_s: seconds between two looks at a hashtag.
        contact: how a server's owner reaches you: a URL or an address, sent with each request.
        languages: what ``--analysis language`` lets through.
        partitions: of a topic that is created in the data folder.
    """

    data: str = "mastostream-data"
    log: Literal["sqlite", "kafka"] = "sqlite"
    index: Literal["sqlite", "elasticsearch"] = "sqlite"
    server: str = "mastodon.social"
    tags: tuple[str, ...] = ()
    servers: tuple[ServerSettings, ...] = ()
    interval_s: float = attrs.field(default=3.0, validator=attrs.validators.ge(0.05))
    contact: str = ""
    languages: tuple[str, ...] = ("en",)
    partitions: int = attrs.field(
        default=1, validator=[attrs.validators.ge(1), attrs.validators.le(256)]
    )
    collect: CollectSettings = CollectSettings()
    consent: ConsentSettings = ConsentSettings()
    weights: WeightSettings = WeightSettings()
    windows: WindowSettings = WindowSettings()
    retention: RetentionSettings = RetentionSettings()
    archive: ArchiveSettings = ArchiveSettings()
    kafka: KafkaSettings = KafkaSettings()
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    hdfs: HdfsSettings = HdfsSettings()
    kibana: KibanaSettings = KibanaSettings()
    flink: FlinkSettings = FlinkSettings()
    services: ServicesSettings = ServicesSettings()


@attrs.frozen(kw_only=True)
class Credentials:
    """What a server knows us by; never printed."""

    client_key: str | None = attrs.field(default=None, repr=False)
    client_secret: str | None = attrs.field(default=None, repr=False)
    access_token: str | None = attrs.field(default=None, repr=False)


def load_settings(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings.

    Args:
        file: a TOML file; by default ``mastostream.toml`` of this folder, if there is one.
        flags: settings from the command line by dotted path (``archive.folder``); ``None`` values
            are left out.
        environ: the environment.

    Raises:
        ConfigurationError: the file is missing or no TOML, or a setting is unknown or wrong; the
            message names each.
    """
    environ = os.environ if environ is None else environ
    values = _read_file(file)
    sources = [str(file or CONFIG_FILE)] if values else []
    for path in _paths(Settings):
        variable = "MASTOSTREAM_" + path.replace(".", "_").upper()
        if variable in environ:
            _put(values, path, _from_text(path, environ[variable]))
            sources.append(variable)
    for path, value in (flags or {}).items():
        if value is not None and value != ():
            _put(values, path, value)
            sources.append("the command line")
    return _structure(values, ", ".join(dict.fromkeys(sources)))


def load_credentials(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    host: str | None = None,
    only: bool = False,
) -> Credentials:
    """Read the credentials from ``.env`` in this folder, overridden by the environment.

    A server's own names come first: ``ACCESS_TOKEN_MASTODON_SOCIAL`` for ``mastodon.social``, as
    :func:`credential_name` makes them. The plain ones, ``ACCESS_TOKEN``, belong to the one server
    that is followed: where there are several, nobody could say whose they are, and a token must
    never be sent to another server than its own.

    Args:
        folder: by default this one.
        environ: the environment.
        host: the server they are for, with its port where it has one; ``None`` for the plain names.
        only: this is the only server that is followed, so that the plain names are its own.

    Raises:
        ConfigurationError: ``.env`` cannot be read.
    """
    names = {
        plain: ([] if host is None else [credential_name(plain, host)])
        + ([plain] if host is None or only else [])
        for plain in CREDENTIAL_NAMES
    }
    known = load_secrets([each for several in names.values() for each in several], folder, environ)
    found = {
        plain.lower(): next((known[name] for name in several if name in known), None)
        for plain, several in names.items()
    }
    return Credentials(**found)


def load_secrets(
    names: Sequence[str], folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Read these from ``.env`` in this folder, overridden by the environment.

    Those that are missing or empty are left out.

    Raises:
        ConfigurationError: ``.env`` cannot be read.
    """
    from dotenv import dotenv_values  # noqa: PLC0415 - only commands that ask a server need it

    environ = os.environ if environ is None else environ
    path = (folder or Path()) / ".env"
    try:
        values = dict(dotenv_values(path)) if path.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    found = {name: environ.get(name) or values.get(name) for name in names}
    return {name: secret for name, secret in found.items() if secret}


def credential_name(name: str, host: str) -> str:
    """Return what a server's own credential is called in the environment and in ``.env``."""
    return f"{name}_{re.sub('[^A-Z0-9]', '_', host.upper())}"


def _read_file(file: Path | None) -> dict[str, Any]:
    path = file or Path(CONFIG_FILE)
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no file {path}: make one with 'mastostream init', or leave out --config"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from error


def _paths(model: type, prefix: str = "") -> list[str]:
    paths: list[str] = []
    for field in attrs.fields(model):
        if isinstance(field.type, type) and attrs.has(field.type):
            paths += _paths(field.type, f"{prefix}{field.name}.")
        else:
            paths.append(f"{prefix}{field.name}")
    return paths


def _put(values: dict[str, Any], path: str, value: object) -> None:
    *groups, name = path.split(".")
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{group}: expected a table, got {inner!r}")
        values = inner
    values[name] = value


_LISTS: Final = {
    "tags",
    "languages",
    "collect.refresh_after_s",
    "consent.languages",
    "consent.visibilities",
    "elasticsearch.hosts",
}
_TABLES: Final = {"kafka.settings", "hdfs.settings", "flink.settings", "flink.kafka"}


def _from_text(path: str, text: str) -> object:
    items = [item.strip() for item in text.split(",") if item.strip()]
    if path == "servers":
        return [{"server": item} for item in items]
    if path in _TABLES:
        pairs = [item.partition("=") for item in items]
        if not all(equals for _, equals, _ in pairs):
            raise ConfigurationError(f"{path}: expected name=value,name=value")
        return {name.strip(): value.strip() for name, _, value in pairs}
    return items if path in _LISTS else text


def _structure(values: Mapping[str, Any], where: str) -> Settings:
    from cattrs import Converter, transform_error  # noqa: PLC0415 - 50 ms, only for commands

    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(int, _number(int))
    converter.register_structure_hook(float, _number(float))
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook_func(lambda annotation: annotation == tuple[str, ...], _texts)
    converter.register_structure_hook_func(
        lambda annotation: annotation == Mapping[str, str], _table
    )
    try:
        return converter.structure(values, Settings)
    except Exception as error:
        lines = transform_error(error, path="", format_exception=_explain)
        told = "; ".join(
            f"{path.lstrip('.') or 'settings'}: {message}"
            for message, _, path in (line.rpartition(" @ ") for line in lines)
        )
        raise ConfigurationError(f"wrong settings in {where}: {told}") from error


def _explain(error: BaseException, _: type | None) -> str:
    from cattrs.errors import ForbiddenExtraKeysError  # noqa: PLC0415 - as above

    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown: {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, ValueError) and len(error.args) > 1:
        return str(error.args[0])
    return str(error)


def _number(kind: type[int] | type[float]) -> Any:
    def structure(value: object, _: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise TypeError(f"expected {kind.__name__}, got {value!r}")
        try:
            number = kind(value)
        except ValueError:
            raise ValueError(f"expected {kind.__name__}, got {value!r}") from None
        if kind is int and isinstance(value, float) and number != value:
            raise ValueError(f"expected int, got {value!r}")
        return number

    return structure


def _boolean(value: object, _: Any) -> bool:
    named = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = value if isinstance(value, bool) else named.get(str(value).lower())
    if found is None:
        raise ValueError(f"expected true or false, got {value!r}")
    return found


def _text(value: object, _: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _table(value: object, _: Any) -> dict[str, str]:
    """Names with texts; numbers and truth values may be written as TOML has them."""
    if not isinstance(value, dict):
        raise TypeError("expected a table of names and texts")
    found = {}
    for name, each in value.items():
        if isinstance(each, dict):  # TOML makes tables of dots
            raise TypeError(f"{name}: expected text; a name with dots stands in quotes")
        if not isinstance(each, (str, int, float)):
            raise TypeError(f"{name}: expected text")
        found[name] = str(each).lower() if isinstance(each, bool) else str(each)
    return found


def _texts(value: object, _: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"expected a list of texts, got {value!r}")
    return tuple(value)
