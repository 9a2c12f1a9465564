"""The exceptions of this package, grouped by what the caller can do about them.

::

    MastostreamError
    ├── ConfigurationError    fix the configuration or the command, then start again
    │   ├── MissingExtraError     install an extra: the message names the command
    │   └── BusyError             another process holds the lock or port that is needed
    ├── RetriableError        try again later; ``retry_after_s`` says when, where that is known
    ├── FatalError            give up on this part (one source, one store); the others go on
    │   └── DamagedError          a file is damaged or of another kind; the message says what to do
    └── RecordError           only this record cannot be processed; it becomes a dead letter

Every message says what happened, where, and what to do. Bad data is not an exception but a value:
:class:`mastostream.Rejected`.
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
    """The base class of all errors that this package raises on purpose."""


class ConfigurationError(MastostreamError):
    """The configuration or the command is wrong: fix it and start again."""


class MissingExtraError(ConfigurationError):
    """A feature needs an extra that is not installed.

    Attributes:
        feature: what the user wanted to use.
        extra: the name of the extra to install.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(feature, extra)
        self.feature = feature
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.feature} needs an extra: pip install 'mastostream[{self.extra}]'"


class BusyError(ConfigurationError):
    """Another process holds what this one needs, such as a lock or a port."""


class RetriableError(MastostreamError):
    """The same call may succeed later.

    Attributes:
        message: what happened, where, and what to do.
        retry_after_s: seconds to wait before the next try; ``None`` if unknown.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.message = message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


class FatalError(MastostreamError):
    """This part of the pipeline cannot go on, and a retry would not help."""


class DamagedError(FatalError):
    """A file is damaged, or is not of the kind that was expected."""


class RecordError(MastostreamError):
    """One record cannot be processed; the others can."""
