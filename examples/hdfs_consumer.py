"""From Kafka to HDFS: keep every post as the server sent it, in files of JSON lines.

Run it with ``python hdfs_consumer.py`` beside ``producer.py``. Files get their names when they are
complete; killed and started again, it neither misses nor repeats a record. Several of them share
the work.
"""

import argparse
import sys

from mastostream import MastostreamError
from mastostream.config import ArchiveSettings, KafkaSettings, Settings
from mastostream.runner import run
from mastostream.wiring import archiver, system_clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", default="localhost:9092", help="host:port of Kafka")
    parser.add_argument("--hdfs", default="hdfs://localhost:9000/kafka_demo", help="the folder")
    parser.add_argument("--topic", default="Mastodon_stream", help="what to keep")
    parser.add_argument("--rotate", type=float, default=60.0, help="seconds until a file is done")
    parser.add_argument("--seconds", type=float, help="end by itself after so many")
    options = parser.parse_args()

    settings = Settings(
        log="kafka",
        kafka=KafkaSettings(servers=options.kafka),
        archive=ArchiveSettings(folder=options.hdfs, compression="none", rotate_s=options.rotate),
    )
    clock = system_clock()
    run([archiver(settings, clock, options.topic)], clock=clock, seconds=options.seconds)


if __name__ == "__main__":
    try:
        main()
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
