"""Real servers that run for one block of code and leave nothing behind."""

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

_ServiceT = TypeVar("_ServiceT", bound=Service)

_WATCHDOG_PROGRAM: Final = """\
import importlib, pathlib, sys
from mastostream.testing.temporary import end
kind = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
sys.stdin.read()
end(kind(pathlib.Path(sys.argv[3])))
"""
"""A program that ends the server when the process that uses it has ended.

Its standard input is a pipe from that process, which the kernel closes even after ``kill -9``.
"""


@contextlib.contextmanager
def temporary_server(kind: Callable[..., _ServiceT], **options: Any) -> Iterator[_ServiceT]:
    """Run a server on free ports with its own data; both are removed at the end of the block.

    They are removed as well if this process ends earlier, even if it is killed.

    Args:
        kind: ``KafkaServer``, ``ElasticsearchServer``, ``HdfsServer`` or ``FlinkCluster`` of
            :mod:`mastostream.services`.
        options: arguments of the class besides the folder and the ports, such as ``settings``.

    Raises:
        ConfigurationError: the server cannot run here; the message says why.
        RetriableError: it cannot be downloaded, or is not ready in time.
        FatalError: it has ended; the message holds the last lines of its log.
    """
    folder = Path(tempfile.mkdtemp(prefix="mastostream-servers-"))
    folder.chmod(0o755)  # Elasticsearch may run as another user
    ports = {"port": free_port()}
    if kind is HdfsServer:
        ports["http_port"] = free_port(tuple(ports.values()))
    server = kind(folder / "server", **ports, **options)
    arguments = (type(server).__module__, type(server).__qualname__, str(server.folder))
    command = (sys.executable, "-c", _WATCHDOG_PROGRAM, *arguments)
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # noqa: S603
        try:
            server.start()
            yield server
        finally:
            end(server)


def end(server: Service) -> None:
    """Kill a temporary server and remove its parent folder, which holds nothing else."""
    server.kill()
    shutil.rmtree(server.folder.parent, ignore_errors=True)
