"""The task by Bytewax, with its own Kafka connectors.

python -m bytewax.run 'by_bytewax:flow("SERVERS", "INPUT", "ENGAGEMENT", "HASHTAGS")'

Recovery is off, so it stores no offsets: that is less work than the other contenders do.
"""

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from task import CONSUMER, PRODUCER, records

Message = KafkaSinkMessage[bytes, bytes]


def flow(servers: str, source: str, engagement: str, hashtags: str) -> Dataflow:
    """Make both records of each status in one step, and write them by one sink."""

    def both(message: KafkaSourceMessage[bytes, bytes]) -> tuple[Message, Message]:
        key, first, second = records(message.value)
        return (
            KafkaSinkMessage(key.encode(), first, topic=engagement),
            KafkaSinkMessage(key.encode(), second, topic=hashtags),
        )

    dataflow = Dataflow("posts")
    posts = op.input("in", dataflow, KafkaSource([servers], [source], add_config=CONSUMER))
    made = op.flat_map("records", posts, both)
    op.output("out", made, KafkaSink([servers], None, add_config=PRODUCER))
    return dataflow
