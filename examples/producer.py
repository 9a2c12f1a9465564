"""From Mastodon to Kafka: collect the posts of hashtags into the topic Mastodon_stream.

Run it with ``python producer.py --server mastodon.social --tag news``. Ctrl-C ends it; started
again it goes on where it was.
"""

import argparse
import sys

from mastostream import MastostreamError
from mastostream.config import KafkaSettings, Settings, load_credentials
from mastostream.runner import run
from mastostream.wiring import collector, system_clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="mastodon.social", help="the Mastodon server")
    parser.add_argument("--tag", action="append", help="a hashtag; again for more; default: news")
    parser.add_argument("--kafka", default="localhost:9092", help="host:port of Kafka")
    parser.add_argument("--data", default="mastostream-data", help="what it remembers of posts")
    parser.add_argument("--seconds", type=float, help="end by itself after so many")
    options = parser.parse_args()

    settings = Settings(
        log="kafka",
        kafka=KafkaSettings(servers=options.kafka),
        server=options.server,
        tags=tuple(options.tag or ["news"]),
        data=options.data,
    )
    clock = system_clock()
    # ACCESS_TOKEN from .env or the environment, where the server wants one.
    stage = collector(settings, lambda host, only: load_credentials(host=host, only=only), clock)
    run([stage], clock=clock, seconds=options.seconds)


if __name__ == "__main__":
    try:
        main()
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
