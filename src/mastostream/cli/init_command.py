"""``init``: write a commented configuration file; ``completion``: print a completion script."""

import os
from typing import Final

import click
from click.shell_completion import get_completion_class

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import CONFIG_FILE
from mastostream.exceptions import ConfigurationError, FatalError

__all__ = ["completion", "init"]

_TEMPLATE: Final = """\
# Settings of mastostream. Each can be overridden by MASTOSTREAM_<NAME> and by a flag.

data = "mastostream-data"      # log, index, archive, memory of the collector
log = "sqlite"                 # where records stand: sqlite (in the data folder) or kafka
index = "sqlite"               # where results are looked up: sqlite or elasticsearch
server = "mastodon.social"     # the Mastodon server to follow; several: [[servers]], below
tags = ["news"]                # its hashtags
interval_s = 3.0               # seconds between two looks at a hashtag
contact = ""                   # how the server's owner reaches you: a URL or an address
languages = ["en"]             # what 'analyze --analysis language' lets through
partitions = 1                 # of a topic that is created in the data folder

[collect]
mode = "auto"                  # stream, poll, or auto for what the server really offers
key = "auto"                   # what a post is called: id for one server, uri for several
longest_interval_s = 30.0      # between two looks at a quiet hashtag
refresh_after_s = [300.0, 3600.0, 86400.0]  # when a post's counts are read again
overlap_s = 600.0              # between two readings of pages that were read before
overlap_horizon_s = 86400.0    # how far back the longest of them reach
heartbeat_timeout_s = 45.0     # a stream that sends nothing for so long is dead
request_timeout_s = 20.0       # an answer that takes longer is given up
requests_per_5_min = 300       # what a server allows, unless its answers say otherwise
paging_requests_per_15_min = 300  # the same of requests that page back

[consent]                      # what is left out is counted
leave_out_noindex = false      # accounts that opted out of search engines
leave_out_bots = false         # accounts that say that they are automated
languages = []                 # only posts in these; empty for all
visibilities = ["public", "unlisted"]
pseudonym_key_file = ""        # a file with the secret that turns names into pseudonyms

[weights]                      # of the engagement score
favourites = 1
reblogs = 2
replies = 3
quotes = 2

[windows]
delay_s = 30.0                 # after its end a window waits so long for posts, then it is written
correct_every_s = 10.0         # so often at most a changed one is written anew; or "never"
horizon_s = 604800.0           # a post that is observed longer after its creation does not count

[archive]
folder = ""                    # empty: archive in the data folder; or hdfs://host:9000/path
format = "jsonl"               # jsonl or parquet
compression = "zstd"           # none, gzip or zstd
by_date = false                # a folder for each day: date=2026-01-31
rotate_s = 60.0                # a file is finished at this age
rotate_bytes = 134217728       # or at this size, before compression
rotate_records = 0             # or at this many records; 0 for any number

[retention]                    # of the log; 0 keeps everything
age_days = 0
size_bytes = 0

[kafka]
servers = "localhost:9092"     # host:port,host:port
delivery = "at-least-once"     # of the engine; or exactly-once
compression = "lz4"            # lz4, zstd or none
partitions = 4                 # of a topic that is created: so many processes share the work
replication = 1                # of a topic that is created
group = "mastostream"          # the consumer groups' names begin with it
topic_prefix = ""              # of topics, groups, transactions, Flink jobs; one for each pipeline

[kafka.settings]               # any setting of librdkafka, by its own name
# "security.protocol" = "SASL_SSL"

[elasticsearch]
hosts = ["http://localhost:9200"]
ca_file = ""                   # the certificate that signed the server's
index_prefix = ""              # of indices, and of what goes into Kibana; one for each pipeline
shards = 1                     # of an index that is created
replicas = "0-1"               # a number, or a range that follows the nodes
refresh_s = 1.0                # how soon a document can be found
batch_documents = 1000         # a request is sent with this many documents,
batch_bytes = 5242880          # or at this size,
batch_s = 0.2                  # or after waiting so long for more

[hdfs]
backend = "native"             # native (needs no Java), pydoop or webhdfs
user = ""                      # whose files are written; empty for the user of this process
webhdfs_url = ""               # of the NameNode's web server; empty for port 9870 of the host

[hdfs.settings]                # any setting of Hadoop's client, for the native backend
# "dfs.replication" = "2"

[kibana]
url = "http://localhost:5601"
space = ""                     # empty for the default space
ca_file = ""                   # the certificate that signed the server's

[flink]
target = "local"               # a cluster within the process, or host:port of a JobManager
jar = ""                       # Flink's connector for Kafka; empty: it is downloaded
parallelism = 0                # 0: as the cluster says; 1 within the process, and for SQL
checkpoint_s = 10.0            # between two checkpoints
bundle_records = 1000          # so many posts cross to Python at once, at most,
bundle_ms = 10                 # or those of so many milliseconds
on_error = "dead-letter"       # of an analysis' function; or fail, and Flink starts the job again
python_archive = ""            # of 'flink package', for TaskManagers without mastostream

[flink.settings]               # any setting of Flink, by its own name
# "taskmanager.numberOfTaskSlots" = "4"

[flink.kafka]                  # any setting of Kafka's Java client, for jobs
# "security.protocol" = "SSL"

[services]
folder = "mastostream-services"  # data, logs and configuration of the servers started here

# [[servers]]                  # one of several, instead of 'server'; again for each
# server = "mastodon.social"
# tags = []                    # empty for those above
# mode = ""                    # empty for that of [collect]
"""
_ENV: Final = """\
# Credentials for the Mastodon server; most servers show hashtags without any.
# 'mastostream login' fills them in. With several servers each has its own: ACCESS_TOKEN_<HOST>.
CLIENT_KEY=
CLIENT_SECRET=
ACCESS_TOKEN=
# For a Kafka or an Elasticsearch that asks who you are. Kibana takes Elasticsearch's.
KAFKA_USERNAME=
KAFKA_PASSWORD=
ELASTICSEARCH_API_KEY=
ELASTICSEARCH_USERNAME=
ELASTICSEARCH_PASSWORD=
"""


@click.command()
@common
def init(settings: MakeSettings, output: Output) -> None:  # noqa: ARG001 - common to all commands
    """Write mastostream.toml and .env.

    Files that are there stay as they are.
    """
    for name, text, mode in ((CONFIG_FILE, _TEMPLATE, 0o644), (".env", _ENV, 0o600)):
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            done = "kept"
        except OSError as error:
            raise FatalError(f"cannot write {name}: {error.strerror}") from error
        else:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            done = "written"
        output.emit("file", name=name, done=done)
        if not output.json:
            tell(output, f"{name}: {done}")
    if not output.json:
        tell(
            output, "Next: mastostream doctor, then mastostream run; mastostream login for a token"
        )


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    In bash: eval "$(mastostream completion bash)".
    """
    from mastostream.cli.main import cli  # noqa: PLC0415 - that module imports this one

    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise ConfigurationError(f"there is no completion for {shell}")
    click.echo(completion_class(cli, {}, "mastostream", "_MASTOSTREAM_COMPLETE").source())
