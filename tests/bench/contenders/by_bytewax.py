"""The same by Bytewax, with its own connectors.

python -m bytewax.run 'by_bytewax:flow("SERVERS", "INPUT", "ENGAGEMENT", "HASHTAGS")'

It keeps no positions, as recovery is off: less work than the others do.
"""

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from task import CONSUMER, PRODUCER, records

Message = KafkaSinkMessage[bytes, bytes]


def flow(servers: str, source: str, engagement: str, hashtags: str) -> Dataflow:
    """Both records of each status: one step, one sink that takes each to its topic."""

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
