"""What file systems raise, turned into what a caller can do about it."""

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
    """Turn the errors of this machine's files into ours; a file that is there or gone stays so.

    Raises:
        RetriableError: the disk is full, or failed.
        FatalError: the path cannot be used as it is.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        told = error.strerror or str(error)
        if error.errno in _FATAL_NUMBERS:
            raise FatalError(f"cannot use {path}: {told}; check it and its permissions") from error
        raise RetriableError(
            f"the archive cannot read or write now ({told}): check {path} and the space left there"
        ) from error


@contextmanager
def translated_hdfs(where: str) -> Iterator[None]:
    """Turn the errors of any client of HDFS into ours; a file that is there or gone stays so.

    Clients tell little apart: what does not say that it will fail for ever is tried again.

    Raises:
        RetriableError: a node is away or starting (safe mode), or there is no space.
        FatalError: HDFS refuses, and will go on refusing.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError) as error:
        raise type(error)(_brief(error)) from error
    except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
        raise _explained(error, where) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # Rust gave up on one call
            raise _explained(error, where) from error
        raise


def _brief(error: BaseException) -> str:
    """What it says, without Java's stack."""
    return _STACK.sub("", str(error))[:_LONGEST] or type(error).__name__


def _explained(error: BaseException, where: str) -> RetriableError | FatalError:
    text = _brief(error)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        text = "the NameNode is in safe mode"  # as Hadoop's own library in C names it
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
