"""Settings from ``mastostream.toml``, the environment and the command line.

The environment wins over the file, and a flag on the command line wins over both. In the
environment a setting is named by its path in upper case, joined by ``_``: ``MASTOSTREAM_SERVER``,
``MASTOSTREAM_ARCHIVE_COMPRESSION``.

Credentials are not settings. They are read from the environment or from ``.env``:

- a Mastodon server: ``CLIENT_KEY``, ``CLIENT_SECRET`` and ``ACCESS_TOKEN``, or the names of one
  server that :func:`credential_name` makes;
- Kafka: ``KAFKA_USERNAME`` and ``KAFKA_PASSWORD``;
- Elasticsearch and Kibana: ``ELASTICSEARCH_API_KEY``, or ``ELASTICSEARCH_USERNAME`` and
  ``ELASTICSEARCH_PASSWORD``.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import attrs

from mastostream.core.languages import language_ranges
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

OrNever = Annotated[float, "or never"]
"""A number of seconds that may also be written as ``never``: then it is infinite."""


@attrs.frozen(kw_only=True)
class WeightSettings:
    """The weights of the engagement score.

    Attributes:
        favourites: what one favourite adds to the score: a whole number, 0 to 2**20, as are all.
        reblogs: what one boost adds.
        replies: what one reply adds.
        quotes: what one quote adds.
    """

    favourites: int = 1
    reblogs: int = 2
    replies: int = 3
    quotes: int = 2


@attrs.frozen(kw_only=True)
class WindowSettings:
    """When the records of windows are written, and which posts count.

    Attributes:
        delay_s: seconds, at least 0, that the local engine waits after the end of a window before
            it writes the window's record, for posts that come a little later.
        correct_every_s: seconds, at least 0, between two records of a window whose posts go on
            changing: a post that comes later, an edit, new counts, a deletion. ``never`` writes the
            first record only, which is then not corrected.
        horizon_s: seconds after its creation, at least 0, in which a post may be observed and still
            count. What is known of a post is kept for so long.
    """

    delay_s: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))
    correct_every_s: OrNever = attrs.field(default=10.0, validator=attrs.validators.ge(0))
    horizon_s: float = attrs.field(default=604_800.0, validator=attrs.validators.ge(0))


@attrs.frozen(kw_only=True)
class RetentionSettings:
    """How much of each topic is kept; the oldest records are deleted first.

    Attributes:
        age_days: days for which a record is kept; 0 keeps records of any age.
        size_bytes: bytes that are kept of each partition; 0 keeps any amount.
    """

    age_days: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    size_bytes: int = attrs.field(default=0, validator=attrs.validators.ge(0))


@attrs.frozen(kw_only=True)
class ArchiveSettings:
    """How the archive writes its files.

    A file is finished when it reaches any of the three bounds ``rotate_...``, when ``by_date`` is
    set and the day changes, and when the archiver stops.

    Attributes:
        folder: a folder, or ``hdfs://host:port/path``; empty for ``archive`` in the data folder.
        format: ``jsonl`` (JSON lines), or ``parquet``: the columns of a post plus the raw status.
        compression: how files of JSON lines, or the pages of Parquet files, are compressed.
        by_date: whether each day (UTC) on which the log took records has a folder of its own, such
            as ``date=2026-01-31``.
        rotate_bytes: the size at which a file is finished, in bytes before compression, at least 1.
        rotate_records: the number of records at which a file is finished; 0 for no such bound.
        rotate_s: the age at which a file is finished, in seconds, above 0.
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
        delivery: what the engine guarantees. ``at-least-once``: after a crash some outputs are
            written again, under the same keys and versions. ``exactly-once``: outputs are written
            in transactions.
        compression: how batches are compressed that producers send.
        partitions: number of partitions of a topic that is created, at least 1. At most this many
            processes can share the work.
        replication: replication factor of a topic that is created, at least 1.
        group: what the names of consumer groups begin with.
        topic_prefix: what the names of topics, consumer groups, transactions and Flink jobs begin
            with, and also folders of the archive and files in the data folder: pipelines with
            different prefixes share nothing.
        settings: settings of librdkafka, by its own names; they win over this package's own. Those
            on which the delivery guarantees depend, callbacks, and the names of the servers are
            refused with a ConfigurationError.
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
        hosts: the servers' URLs.
        ca_file: the CA certificate that signed the server's, a PEM file; empty for those that the
            system trusts.
        index_prefix: what the names of indices, aliases and templates begin with, and also the ids
            of objects in Kibana: pipelines with different prefixes share nothing.
        shards: number of shards of an index that is created, at least 1.
        replicas: replicas of an index that is created: a number, or a range such as ``0-1`` that
            follows the number of nodes.
        refresh_s: seconds, above 0, until a document that was written can be found.
        batch_documents: number of documents at which a bulk request is sent, at least 1.
        batch_bytes: size at which a bulk request is sent, in bytes, at least 1.
        batch_s: seconds, at least 0, that a bulk request waits for more documents.
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
        user: the owner of the files that are written; empty for the user of this process.
        webhdfs_url: URL of the NameNode's web server; empty for port 9870 of the host.
        settings: any settings of Hadoop's client (``core-site.xml``), for ``native`` only.
    """

    backend: Literal["native", "pydoop", "webhdfs"] = "native"
    user: str = ""
    webhdfs_url: str = ""
    settings: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class KibanaSettings:
    """How Kibana is reached.

    Attributes:
        url: the server's URL, with the path under which Kibana is served, if there is one.
        space: id of the space; empty for the default space.
        ca_file: the CA certificate that signed the server's, a PEM file; empty for those that the
            system trusts.
    """

    url: str = "http://localhost:5601"
    space: str = ""
    ca_file: str = ""


@attrs.frozen(kw_only=True)
class ServicesSettings:
    """The servers that ``mastostream services`` starts on this machine.

    Attributes:
        folder: the folder of their data, logs and configuration.
    """

    folder: str = "mastostream-services"


@attrs.frozen(kw_only=True)
class ServerSettings:
    """One of several Mastodon servers to collect from.

    Attributes:
        server: a host name or a URL.
        tags: hashtags to collect from this server; empty for ``Settings.tags``.
        mode: how this server is read; empty for ``CollectSettings.mode``.
    """

    server: str
    tags: tuple[str, ...] = ()
    mode: Literal["", "auto", "poll", "stream"] = ""


@attrs.frozen(kw_only=True)
class CollectSettings:
    """How Mastodon servers are read.

    Attributes:
        mode: ``stream`` (WebSocket or server-sent events), ``poll``, or ``auto`` for what the
            server really offers.
        key: which member of a post is its record key: ``id`` suits one server, ``uri`` suits
            several; ``auto`` takes the one that fits.
        longest_interval_s: seconds, at most, between two polls of a quiet hashtag; at least 0.05.
        refresh_after_s: ages at which a post's counts are read again, in seconds after it was
            first observed.
        overlap_s: seconds between two lookbacks, above 0. A lookback reads pages again that were
            read before, because posts of other servers may arrive late.
        overlap_horizon_s: seconds that the longest lookback reaches back; 0 for no lookbacks.
        heartbeat_timeout_s: seconds, above 0, without any data after which a stream is taken for
            dead. The default is three heartbeats.
        request_timeout_s: seconds, above 0, after which a request without a response is given up.
        requests_per_5_min: rate limit of a server whose responses do not state one, in requests
            per 5 minutes, at least 10. The collector uses nine tenths of it.
        paging_requests_per_15_min: rate limit of requests with ``min_id`` or ``max_id``, in
            requests per 15 minutes, at least 10. No response states this limit. The collector uses
            nine tenths of it.
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


def _languages(_: object, field: "attrs.Attribute[Any]", value: Sequence[str]) -> None:
    try:
        language_ranges(value)
    except ValueError as error:
        raise ValueError(f"'{field.name}': {error}") from error


@attrs.frozen(kw_only=True)
class ConsentSettings:
    """Which posts are left out, and whether account names become pseudonyms.

    Posts that are left out are counted.

    Attributes:
        leave_out_noindex: leave out posts of accounts that opted out of search engines.
        leave_out_bots: leave out posts of accounts that say that they are automated.
        languages: collect only posts in these languages, tags of BCP 47; empty for all languages.
        visibilities: collect only posts with these visibilities.
        pseudonym_key_file: a file with the secret key that turns account names into pseudonyms;
            keep it outside the data folder. Empty: names are kept.
    """

    leave_out_noindex: bool = False
    leave_out_bots: bool = False
    languages: tuple[str, ...] = attrs.field(default=(), validator=_languages)
    visibilities: tuple[str, ...] = ("public", "unlisted")
    pseudonym_key_file: str = ""


@attrs.frozen(kw_only=True)
class FlinkSettings:
    """How analyses run on Flink.

    Attributes:
        target: ``local`` for a cluster inside this process, or ``host:port`` of a JobManager.
        jar: path of Flink's connector for Kafka; empty: it is downloaded.
        parallelism: parallelism of the job. 0 leaves it to the cluster's configuration; for a
            ``local`` cluster and for SQL, 0 means 1, because more costs latency on few cores.
        checkpoint_s: seconds between two checkpoints, above 0.
        bundle_records: number of posts at which a bundle crosses from Java to Python, at least 1.
        bundle_ms: age at which a bundle crosses from Java to Python, in milliseconds, at least 1.
        on_error: what happens if a function raises on a post. ``dead-letter``: the post becomes a
            dead letter. ``fail``: the job fails; Flink's restart strategy may start it again.
        python_archive: path of the archive that ``mastostream flink package`` wrote, for
            TaskManagers without this package; empty where they have it.
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
    """All settings with their defaults. The other attributes are groups of settings.

    Attributes:
        data: the data folder: log, index, archive and the collector's state store.
        log: where records are stored: ``sqlite`` (in the data folder) or ``kafka``.
        index: where results are searched: ``sqlite`` (in the data folder) or ``elasticsearch``.
        server: the Mastodon server to collect from, a host name or a URL.
        tags: the hashtags to collect.
        servers: several servers to collect from, instead of ``server``.
        interval_s: seconds between two polls of a hashtag, at least 0.05.
        contact: how a server's owner reaches you: a URL or an address, sent with each request.
        languages: the languages that ``--analysis language`` passes on, tags of BCP 47.
        partitions: number of partitions of a topic that is created in the data folder, 1 to 256.
    """

    data: str = "mastostream-data"
    log: Literal["sqlite", "kafka"] = "sqlite"
    index: Literal["sqlite", "elasticsearch"] = "sqlite"
    server: str = "mastodon.social"
    tags: tuple[str, ...] = ()
    servers: tuple[ServerSettings, ...] = ()
    interval_s: float = attrs.field(default=3.0, validator=attrs.validators.ge(0.05))
    contact: str = ""
    languages: tuple[str, ...] = attrs.field(default=("en",), validator=_languages)
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
    """The credentials for one Mastodon server; ``repr`` does not show them."""

    client_key: str | None = attrs.field(default=None, repr=False)
    client_secret: str | None = attrs.field(default=None, repr=False)
    access_token: str | None = attrs.field(default=None, repr=False)


def load_settings(
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings from a file, the environment and the command line.

    Args:
        file: a TOML file; by default ``mastostream.toml`` of this folder, if there is one.
        flags: settings from the command line by dotted path (``archive.folder``); values ``None``
            and ``()`` are ignored.
        environ: the environment; by default that of this process.

    Raises:
        ConfigurationError: the file is missing or is not TOML, or settings are unknown or wrong;
            the message names each of them.
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

    Names with the server in them win, as :func:`credential_name` makes them:
    ``ACCESS_TOKEN_MASTODON_SOCIAL`` for ``mastodon.social``. The plain names, such as
    ``ACCESS_TOKEN``, are used only if posts are collected from one server: with several servers it
    would not be clear whose they are, and a token must never be sent to another server than its
    own.

    Args:
        folder: the folder of ``.env``; by default this one.
        environ: the environment; by default that of this process.
        host: the server's host name, with its port where it has one; ``None`` for the plain names.
        only: whether this is the only server, so that the plain names belong to it.

    Returns:
        The credentials; those that are missing or empty are ``None``.

    Raises:
        ConfigurationError: ``.env`` cannot be read.
    """
    candidates = {
        plain: ([] if host is None else [credential_name(plain, host)])
        + ([plain] if host is None or only else [])
        for plain in CREDENTIAL_NAMES
    }
    secrets = load_secrets(
        [name for names in candidates.values() for name in names], folder, environ
    )
    values = {
        plain.lower(): next((secrets[name] for name in names if name in secrets), None)
        for plain, names in candidates.items()
    }
    return Credentials(**values)


def load_secrets(
    names: Sequence[str], folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Read the secrets of these names from ``.env`` in this folder, overridden by the environment.

    Args:
        names: names of variables, such as ``KAFKA_PASSWORD``.
        folder: the folder of ``.env``; by default this one.
        environ: the environment; by default that of this process.

    Returns:
        Name to secret; secrets that are missing or empty are left out.

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
    secrets = {name: environ.get(name) or values.get(name) for name in names}
    return {name: secret for name, secret in secrets.items() if secret}


def credential_name(name: str, host: str) -> str:
    """Return the variable that holds one server's credential, in the environment and ``.env``.

    Args:
        name: the plain name, such as ``ACCESS_TOKEN``.
        host: the server's host name, with its port where it has one.
    """
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


# The settings that are written as lists in TOML, and separated by commas in the environment.
_LISTS: Final = {
    "tags",
    "languages",
    "collect.refresh_after_s",
    "consent.languages",
    "consent.visibilities",
    "elasticsearch.hosts",
}
# The settings that are tables in TOML, and ``name=value,name=value`` in the environment.
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
    converter.register_structure_hook_func(lambda annotation: annotation == OrNever, _or_never)
    converter.register_structure_hook_func(
        lambda annotation: annotation == Mapping[str, str], _table
    )
    try:
        return converter.structure(values, Settings)
    except Exception as error:
        lines = transform_error(error, path="", format_exception=_explain)
        problems = "; ".join(
            f"{path.lstrip('.') or 'settings'}: {message}"
            for message, _, path in (line.rpartition(" @ ") for line in lines)
        )
        raise ConfigurationError(f"wrong settings in {where}: {problems}") from error


def _explain(error: BaseException, _: type | None) -> str:
    from cattrs.errors import ForbiddenExtraKeysError  # noqa: PLC0415 - slow; only for errors

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


def _or_never(value: object, _: Any) -> float:
    return math.inf if value == "never" else float(_number(float)(value, None))


def _boolean(value: object, _: Any) -> bool:
    spellings = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    flag = value if isinstance(value, bool) else spellings.get(str(value).lower())
    if flag is None:
        raise ValueError(f"expected true or false, got {value!r}")
    return flag


def _text(value: object, _: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _table(value: object, _: Any) -> dict[str, str]:
    """Return a table of texts; numbers and booleans of TOML become texts."""
    if not isinstance(value, dict):
        raise TypeError("expected a table of names and texts")
    table = {}
    for name, item in value.items():
        if isinstance(item, dict):  # TOML reads a dot in a name as a table inside the table
            raise TypeError(f"{name}: expected text; a name with dots stands in quotes")
        if not isinstance(item, (str, int, float)):
            raise TypeError(f"{name}: expected text")
        table[name] = str(item).lower() if isinstance(item, bool) else str(item)
    return table


def _texts(value: object, _: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"expected a list of texts, got {value!r}")
    return tuple(value)
