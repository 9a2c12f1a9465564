"""The task by Pathway.

python by_pathway.py SERVERS INPUT GROUP ENGAGEMENT HASHTAGS
"""

import sys

import pathway as pw
from task import CONSUMER, PRODUCER, records


def texts(settings: dict[str, object]) -> dict[str, str]:
    """Return the settings as texts, as Pathway needs them."""
    return {name: str(value).lower() for name, value in settings.items()}


@pw.udf(deterministic=True)
def both(value: bytes) -> tuple[bytes, bytes]:
    """Return both records of one status."""
    return records(value)[1:]


def main(servers: str, source: str, group: str, engagement: str, hashtags: str) -> None:
    """Process records until the process is ended."""
    common = {"bootstrap.servers": servers}
    reading = {"group.id": group, "auto.offset.reset": "earliest"}
    posts = pw.io.kafka.read(common | reading | texts(CONSUMER), topic=source, format="raw")
    made = posts.select(posts.key, both=both(posts.data))
    for number, name in enumerate((engagement, hashtags)):
        outputs = made.select(made.key, value=made.both[number])
        pw.io.kafka.write(
            outputs,
            common | texts(PRODUCER),
            name,
            format="raw",
            key=outputs.key,
            value=outputs.value,
        )
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    main(*sys.argv[1:])
