"""Translates the errors of file systems into those of :mod:`mastostream.exceptions`."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mastostream.exceptions import FatalError, RetriableError

__all__ = ["translated", "translated_hdfs"]

_FATAL_NUMBERS: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.ELOOP,
    }
)
_FATAL_JAVA: Final = re.compile(
    r"AccessControlException|AuthorizationException|AuthenticationException|InvalidToken"
    r"|InvalidPathException|ParentNotDirectoryException|PathIsNotDirectoryException"
    r"|UnsupportedOperationException|RpcNoSuchMethodException|RpcNoSuchProtocolException"
    r"|IllegalArgumentException|SaslException|PathComponentTooLongException"
)
_FATAL_NATIVE: Final = re.compile(
    r"^(SASLError|GSSAPIError|NoSASLMechanism|InvalidPath|InvalidArgument|UrlParseError"
    r"|XmlParseError|UnsupportedErasureCodingPolicy)\b"
)
_FATAL_KINDS: Final = (
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    NotImplementedError,
)
_STACK: Final = re.compile(r"(\\n|\n)\s*(\\t|\t)?at .*", re.DOTALL)
_LONGEST: Final = 300


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Translate the errors of this machine's files that the block raises.

    FileNotFoundError and FileExistsError pass unchanged.

    Args:
        path: the file or folder, for messages.

    Raises:
        RetriableError: the disk is full, or failed.
        FatalError: the path cannot be used.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        text = error.strerror or str(error)
        if error.errno in _FATAL_NUMBERS:
            raise FatalError(f"cannot use {path}: {text}; check it and its permissions") from error
        raise RetriableError(
            f"the archive cannot read or write now ({text}): check {path} and the space left there"
        ) from error


@contextmanager
def translated_hdfs(where: str) -> Iterator[None]:
    """Translate the errors of any HDFS client that the block raises.

    FileNotFoundError and FileExistsError pass, with a shorter message. The clients hardly
    distinguish errors by class. An error is fatal only if its class or text says that a retry will
    fail too; every other error is retriable.

    Args:
        where: the address of the file or folder, for messages.

    Raises:
        RetriableError: a node cannot be reached or is starting (safe mode), or the disks are full.
        FatalError: HDFS refuses the operation, and will refuse it again.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError) as error:
        raise type(error)(_brief(error)) from error
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise _explained(error, where) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # a panic of the Rust code in one call
            raise _explained(error, where) from error
        raise


def _brief(error: BaseException) -> str:
    """Return the error's message without Java's stack trace, cut to 300 characters."""
    return _STACK.sub("", str(error))[:_LONGEST] or type(error).__name__


def _explained(error: BaseException, where: str) -> RetriableError | FatalError:
    text = _brief(error)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        text = "the NameNode is in safe mode"  # Hadoop's C library reports it as EROFS
    fatal = (
        isinstance(error, _FATAL_KINDS)
        or type(error) is ValueError
        or _FATAL_JAVA.search(text)
        or _FATAL_NATIVE.search(text)
    )
    if fatal:
        return FatalError(
            f"HDFS refuses {where} ({text}): check the folder, its permissions, and whose files "
            "are written ([hdfs] user)"
        )
    return RetriableError(
        f"HDFS cannot serve {where} now ({text}): check that the NameNode and its DataNodes run, "
        "and the space left"
    )
