"""From Kafka to Elasticsearch: score and count the posts, and index both.

Run it with ``python elasticsearch_consumer.py`` beside ``producer.py``. It reads Mastodon_stream,
writes mastodon-engagement and mastodon-hashtags, and indexes these two under the same names.
Several of them share the work.
"""

import argparse
import sys

from mastostream import MastostreamError
from mastostream.config import ElasticsearchSettings, KafkaSettings, Settings
from mastostream.ports.stage import Stage
from mastostream.runner import run
from mastostream.wiring import analyses, engines, indexer, system_clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", default="localhost:9092", help="host:port of Kafka")
    parser.add_argument("--elasticsearch", default="http://localhost:9200", help="its URL")
    parser.add_argument("--index-only", action="store_true", help="'analyze' runs elsewhere")
    parser.add_argument("--seconds", type=float, help="end by itself after so many")
    options = parser.parse_args()

    settings = Settings(
        log="kafka",
        kafka=KafkaSettings(servers=options.kafka),
        index="elasticsearch",
        elasticsearch=ElasticsearchSettings(hosts=(options.elasticsearch,)),
    )
    clock = system_clock()
    stages: list[Stage] = [indexer(settings, clock)]
    if not options.index_only:
        chosen = analyses(settings, "stream", ["engagement", "hashtags"])
        stages = [*engines(settings, chosen, clock), *stages]
    run(stages, clock=clock, seconds=options.seconds)


if __name__ == "__main__":
    try:
        main()
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
