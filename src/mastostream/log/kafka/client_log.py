"""Passes the log messages of librdkafka to Python's ``logging``, without the repetitions.

An error that stops a client is also raised as an exception, and logged by the code that catches it.
So no message here is logged above the level of a warning. While a broker is away, each client of
librdkafka repeats its message up to 20 times a second.
"""

import logging
import re
import time
from typing import Final

__all__ = ["LOGGER"]

REPEAT_AFTER_S: Final = 30.0
"""The shortest time between two equal warnings, in seconds."""

_MAX_TEXTS: Final = 1_000
"""The most texts that are remembered; beyond it, all are forgotten."""

_VARIABLE_PARTS: Final = re.compile(r"\[[^\]]*\]|\d+ms|\d+ identical")
"""The parts in which two equal warnings differ: thread and client, durations, and counts."""

LOGGER: Final = logging.getLogger("mastostream.log.kafka.client")


class _Filter(logging.Filter):
    """Passes equal warnings once in ``REPEAT_AFTER_S``, whichever client logs them."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        # The user's settings go to producers and to consumers alike. Each client warns of those
        # settings that only the other kind has.
        if "CONFWARN" in text:
            return False
        level = logging.INFO if text.endswith(": retrying") else logging.WARNING
        record.levelno = min(record.levelno, level)
        record.levelname = logging.getLevelName(record.levelno)
        if not LOGGER.isEnabledFor(record.levelno):
            return False
        return record.levelno < logging.WARNING or self._is_due(_VARIABLE_PARTS.sub("", text))

    def _is_due(self, text: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._logged_s.get(text, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return False
        if len(self._logged_s) > _MAX_TEXTS:
            self._logged_s.clear()
        self._logged_s[text] = now_s
        return True


LOGGER.addFilter(_Filter())
