"""From Kafka to Kafka: an analysis of your own over the collected posts.

Run it with ``python kafka_analysis.py`` beside ``producer.py``: the topic post-words gets a record
for each post. It begins with the oldest post that Kafka keeps; several of them share the work.
``mastostream analyze --log kafka --analysis kafka_analysis:WORDS`` runs the same.
"""

import argparse
import sys

from mastostream import Analysis, MastostreamError, Post, account_name, plain_text
from mastostream.config import KafkaSettings, Settings
from mastostream.runner import run
from mastostream.wiring import engines, system_clock


def words(post: Post) -> dict[str, object]:
    """Return how many words a post has."""
    return {
        "key": post.key,
        "account": account_name(post),
        "words": len(plain_text(post.content).split()),
        "observed_at": post.observed_at,
    }


WORDS = Analysis(name="post-words", topic="post-words", function=words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", default="localhost:9092", help="host:port of Kafka")
    parser.add_argument("--seconds", type=float, help="end by itself after so many")
    options = parser.parse_args()

    settings = Settings(log="kafka", kafka=KafkaSettings(servers=options.kafka))
    clock = system_clock()
    run(engines(settings, [WORDS], clock), clock=clock, seconds=options.seconds)


if __name__ == "__main__":
    try:
        main()
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
