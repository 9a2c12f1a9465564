"""The task by Quix Streams.

python by_quix.py SERVERS INPUT GROUP ENGAGEMENT HASHTAGS
"""

import sys

from quixstreams import Application
from task import CONSUMER, PRODUCER, records


def main(servers: str, source: str, group: str, engagement: str, hashtags: str) -> None:
    """Process records until the process is ended."""
    app = Application(
        broker_address=servers,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        consumer_extra_config=CONSUMER,
        producer_extra_config=PRODUCER,
        auto_create_topics=False,
        loglevel="ERROR",
    )
    posts = app.dataframe(app.topic(source, value_deserializer="bytes"))
    pairs = posts.apply(records)
    for number, name in ((1, engagement), (2, hashtags)):
        topic = app.topic(name, value_serializer="bytes")
        pairs.apply(lambda pair, number=number: pair[number]).to_topic(topic)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
