"""What can go wrong, by what the caller can do about it.

::

    MastostreamError
    ├── ConfigurationError    fix the configuration or the command, then start again
    │   ├── MissingExtraError     install an extra: the message names the command
    │   └── BusyError             another process holds what this one needs
    ├── RetriableError        try again later; ``retry_after_s`` says when, where that is known
    ├── FatalError            give up on this part (one source, one store); the others go on
    │   └── DamagedError          a file is not what it should be: the message says what to do
    └── RecordError           this record only; it becomes a dead letter

Every message says what happened, where, and what to do. Bad data is no exception at all: it is a
value, :class:`mastostream.Rejected`.
"""

__all__ = [
    "BusyError",
    "ConfigurationError",
    "DamagedError",
    "FatalError",
    "MastostreamError",
    "MissingExtraError",
    "RecordError",
    "RetriableError",
]


class MastostreamError(Exception):
    """The root of all errors that this package raises on purpose."""


class ConfigurationError(MastostreamError):
    """The configuration or the command is wrong: fix it and start again."""


class MissingExtraError(ConfigurationError):
    """A feature needs an extra that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)
        self.feature = feature
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.feature} needs an extra: pip install 'mastostream[{self.extra}]'"


class BusyError(ConfigurationError):
    """Another process holds what this one needs."""


class RetriableError(MastostreamError):
    """The same call may succeed later.

    Attributes:
        retry_after_s: seconds to wait before the next try, ``None`` where nothing is known.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class FatalError(MastostreamError):
    """This part cannot go on; a retry would not help."""


class DamagedError(FatalError):
    """A file is not what it should be."""


class RecordError(MastostreamError):
    """One record cannot be processed; all others can."""
