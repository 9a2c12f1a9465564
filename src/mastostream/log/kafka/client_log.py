"""What librdkafka says of itself, in Python's log.

What cannot go on becomes an error of ours and is told by whoever meets it; so nothing here is worse
than a warning. While a broker is away librdkafka says so up to 20 times a second and client.
"""

import logging
import re
import time
from typing import Final

__all__ = ["LOGGER"]

EVERY_S: Final = 30.0
_KNOWN: Final = 1_000
_VARIES: Final = re.compile(r"\[[^\]]*\]|\d+ms|\d+ identical")

LOGGER: Final = logging.getLogger("mastostream.log.kafka.client")


class _Filter(logging.Filter):
    """Lets a warning pass once in half a minute, whichever client says it."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "CONFWARN" in text:  # producers and consumers get the same settings, and warn of others'
            return False
        level = logging.INFO if text.endswith(": retrying") else logging.WARNING
        record.levelno = min(record.levelno, level)
        record.levelname = logging.getLevelName(record.levelno)
        if not LOGGER.isEnabledFor(record.levelno):
            return False
        return record.levelno < logging.WARNING or self._is_due(_VARIES.sub("", text))

    def _is_due(self, text: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._told_s.get(text, -EVERY_S) < EVERY_S:
            return False
        if len(self._told_s) > _KNOWN:
            self._told_s.clear()
        self._told_s[text] = now_s
        return True


LOGGER.addFilter(_Filter())
