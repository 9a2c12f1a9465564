"""Servers that live as long as a block of code."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from mastostream.services import HdfsServer, Service, free_port

__all__ = ["temporary_server"]

_Some = TypeVar("_Some", bound=Service)

_AFTER_US: Final = """\
import importlib, pathlib, sys
from mastostream.testing.temporary import end
kind = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
sys.stdin.read()
end(kind(pathlib.Path(sys.argv[3])))
"""
"""Reads until our end of the pipe is closed, which the kernel does even after ``kill -9``."""


@contextlib.contextmanager
def temporary_server(kind: Callable[..., _Some], **options: Any) -> Iterator[_Some]:
    """Run a server on free ports with data of its own, and remove both with the block.

    They end with this process too, even if it is killed.

    Args:
        kind: ``KafkaServer``, ``ElasticsearchServer``, ``HdfsServer`` or ``FlinkCluster`` of
            :mod:`mastostream.services`.
        options: what it takes besides folder and ports, such as ``settings``.

    Raises:
        ConfigurationError: it cannot run here; the message says why.
        RetriableError: it cannot be downloaded, or takes too long to start.
        FatalError: it ended; the message holds the last lines of its log.
    """
    folder = Path(tempfile.mkdtemp(prefix="mastostream-servers-"))
    folder.chmod(0o755)  # Elasticsearch may run as another user
    ports = {"port": free_port()}
    if kind is HdfsServer:
        ports["http_port"] = free_port(tuple(ports.values()))
    server = kind(folder / "server", **ports, **options)
    where = (type(server).__module__, type(server).__qualname__, str(server.folder))
    command = (sys.executable, "-c", _AFTER_US, *where)
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # noqa: S603
        try:
            server.start()
            yield server
        finally:
            end(server)


def end(server: Service) -> None:
    """End a server that nobody needs any more, and remove its folder with all around it."""
    server.kill()
    shutil.rmtree(server.folder.parent, ignore_errors=True)
