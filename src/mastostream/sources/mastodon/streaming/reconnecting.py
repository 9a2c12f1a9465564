"""Reconnects a streaming connection with backoff when it was cut."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Never

from mastostream.exceptions import FatalError, RetriableError
from mastostream.sources.mastodon.streaming.connection import StreamConnection

__all__ = ["LONGEST_WAIT_S", "Jitter", "backoff_s", "keep_open"]

LONGEST_WAIT_S: Final = 60.0
"""The longest backoff."""

_logger = logging.getLogger(__name__)


Jitter = Callable[[float, float], float]
"""Chooses a wait between a shortest and a longest one, in seconds."""


def backoff_s(failures: int, jitter: Jitter = random.uniform) -> float:
    """Return the seconds to wait after so many failed attempts in a row, with full jitter.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    longest_s = min(LONGEST_WAIT_S, 2.0 ** min(failures, 10))
    return jitter(0.0, longest_s)  # so that clients do not all reconnect at once


async def keep_open(
    connection: StreamConnection,
    listen: Callable[[StreamConnection], Awaitable[Never]],
    jitter: Jitter = random.uniform,
) -> None:
    """Connect again and again, until the server refuses for good.

    Args:
        connection: the connection, which reports whenever it is opened or cut.
        listen: connects and reads; it ends only by an error.
        jitter: chooses how long to wait.
    """
    failures = 0
    while True:
        connection.progress = False
        try:
            await listen(connection)
        except FatalError as error:
            _logger.info("%s: no stream of %s: %s", connection.feed.name, _tags(connection), error)
            connection.cut(error)
            return
        except RetriableError as error:
            failures = 0 if connection.progress else failures
            wait_s = backoff_s(failures, jitter) + (error.retry_after_s or 0.0)
            text = "%s: the stream of %s is cut: %s; trying again in %.1f s"
            _logger.info(text, connection.feed.name, _tags(connection), error, wait_s)
            connection.cut(error)
        failures += 1
        await asyncio.sleep(connection.clock.real_s(wait_s))


def _tags(connection: StreamConnection) -> str:
    return ", ".join(f"#{tag}" for tag in connection.tags)
