"""``services``: start, watch and end Kafka, HDFS, Elasticsearch and Flink on this machine."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.cli.run_view import stopping
from mastostream.exceptions import ConfigurationError, MastostreamError
from mastostream.services import (
    PORTS,
    SERVICES,
    Follower,
    OnProgress,
    ServerProcess,
    Service,
    last_lines,
    open_service,
)

__all__ = ["services"]

_T = TypeVar("_T")
_USUAL: Final = ("kafka", "hdfs", "elasticsearch")
_FOLLOW_S: Final = 0.3
_STYLES: Final = {"running": "green", "starting": "yellow", "stopped": "dim", "crashed": "bold red"}


def _folder_option(command: Callable[..., _T]) -> Callable[..., _T]:
    option = click.option(
        "--folder", metavar="FOLDER", help="Where the servers keep data, logs and configuration."
    )
    return option(command)


def _names_argument(command: Callable[..., _T]) -> Callable[..., _T]:
    return click.argument("names", nargs=-1, type=click.Choice(SERVICES))(command)


def _ports(_: click.Context, __: click.Parameter, values: Sequence[str]) -> dict[str, int]:
    ports = {}
    for value in values:
        name, port = (*value.split("=", 1), "")[:2]
        if name not in PORTS or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise click.BadParameter(f"expected NAME=PORT with a name of {', '.join(PORTS)}")
        ports[name] = int(port)
    return ports


@click.group()
def services() -> None:
    """Kafka, HDFS, Elasticsearch and Flink on this machine, without Docker.

    They need Java 17 or later, listen on the loopback only, and keep their data in a folder.
    """


@services.command()
@common
@_folder_option
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="NAME=PORT",
    callback=_ports,
    help=f"Another port than the usual: of {', '.join(PORTS)}; may be repeated. It stays so.",
)
@click.option(
    "--taskmanagers",
    type=click.IntRange(1, 64),
    help="Of Flink: how many there are. It stays so.  [default: 1]",
)
@_names_argument
def up(
    settings: MakeSettings,
    output: Output,
    folder: str | None,
    ports: dict[str, int],
    taskmanagers: int | None,
    names: Sequence[str],
) -> None:
    """Start servers and wait until they are ready. What runs already is left as it is.

    NAMES: kafka, hdfs, elasticsearch, flink. Default: the first three. The first time they are
    downloaded from Maven Central.
    """
    opened = _opened(settings, folder, names or _USUAL, ports, taskmanagers)
    with _progress(output, opened) as progress_of:
        started, failed = _start_all(opened, progress_of)
    for service in opened:
        if service.name in failed:
            error = str(failed[service.name])
            output.emit("service", name=service.name, state=service.state, error=error)
        else:
            _introduce(service, output, started[service.name])
    if failed:
        *others, last = failed.values()
        for other in others:
            tell(output, str(other))
        raise last
    if not output.json:
        end = "mastostream services down" + (f" --folder {folder}" if folder else "")
        tell(output, f"data and logs: {opened[0].folder.parent}   end them: {end}")


@services.command()
@common
@_folder_option
def status(settings: MakeSettings, output: Output, folder: str | None) -> None:
    """Show which servers run, and where."""
    table = Table("server", "state", "process", "address")
    for service in _opened(settings, folder, SERVICES):
        for server in service.servers:
            state, pid = server.state, server.pid
            output.emit(
                "server",
                service=service.name,
                server=server.name,
                state=state,
                pid=pid,
                address=service.address,
                log=server.log_path,
            )
            table.add_row(
                server.name,
                Text(state, style=_STYLES[state]),
                str(pid or ""),
                service.url if pid and server is service.servers[0] else "",
            )
    if not output.json:
        output.console.print(table)


@services.command()
@common
@_folder_option
@click.option(
    "--lines", type=click.IntRange(0), default=20, show_default=True, help="How many at first."
)
@click.option("--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.argument("name", metavar="NAME")
def logs(
    settings: MakeSettings, output: Output, folder: str | None, lines: int, follow: bool, name: str
) -> None:
    """Show a server's log.

    NAME: a service, or one of its servers: namenode, datanode, jobmanager, taskmanager,
    taskmanager-2.
    """
    opened = _opened(settings, folder, SERVICES)
    service, chosen = _servers_called(name, opened)
    if not follow and not any(server.log_path.exists() for server in chosen):
        raise ConfigurationError(
            f"{name} was never started in {service.folder.parent}: start it with "
            f"'mastostream services up {service.name}', or choose another --folder"
        )
    followers = [(server, Follower(server.log_path)) for server in chosen]
    for server in chosen:
        _show(server, last_lines(server.log_path, lines), output, several=len(chosen) > 1)
    stop = threading.Event()
    with stopping(stop):
        while follow and not stop.wait(_FOLLOW_S):
            for server, follower in followers:
                _show(server, follower.new_lines(), output, several=len(chosen) > 1)


@services.command()
@common
@_folder_option
@_names_argument
def down(settings: MakeSettings, output: Output, folder: str | None, names: Sequence[str]) -> None:
    """End servers. Their data stays.

    NAMES: kafka, hdfs, elasticsearch, flink. Default: all that run.
    """
    for service in reversed(_opened(settings, folder, names or SERVICES)):
        known = service.folder.exists()
        ended = known and service.stop()
        if ended or names:
            output.emit("service", name=service.name, state="stopped", ended=ended)
            if not output.json:
                tell(output, f"{service.name}: {'ended' if ended else 'did not run'}")


def _start_all(
    opened: Sequence[Service], progress_of: Callable[[Service], OnProgress]
) -> tuple[dict[str, bool], dict[str, MastostreamError]]:
    """Start all services, then wait for all: they get ready at the same time.

    Returns:
        For each service that is ready, whether it was started now; the errors of the others. Both
        by the services' names.
    """
    started: dict[str, bool] = {}
    failed: dict[str, MastostreamError] = {}
    for service in opened:
        try:
            started[service.name] = service.launch(progress_of(service))
        except MastostreamError as error:
            failed[service.name] = error
    for service in opened:
        try:
            if service.name in started:
                service.wait(progress_of(service))
        except MastostreamError as error:
            failed[service.name] = error
    return started, failed


def _servers_called(
    name: str, opened: Sequence[Service]
) -> tuple[Service, Sequence[ServerProcess]]:
    """Return the service with this name and all its servers, or a server with this name alone."""
    for service in opened:
        if service.name == name:
            return service, service.servers
    for service in opened:
        for server in service.servers:
            if server.name == name:
                return service, [server]
    servers = [server.name for service in opened for server in service.servers]
    known = ", ".join(dict.fromkeys([*SERVICES, *servers]))
    raise click.BadParameter(f"there is no {name!r}: choose one of {known}")


def _opened(
    settings: MakeSettings,
    folder: str | None,
    names: Sequence[str],
    ports: dict[str, int] | None = None,
    taskmanagers: int | None = None,
) -> list[Service]:
    where = Path(settings(services__folder=folder).services.folder)
    return [open_service(name, where, ports, taskmanagers) for name in dict.fromkeys(names)]


@contextmanager
def _progress(
    output: Output, opened: Sequence[Service]
) -> Iterator[Callable[[Service], OnProgress]]:
    """Show a progress bar for each service in a terminal, and lines elsewhere."""
    if not output.live:
        yield lambda _: _Lines(output)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=output.console, transient=True) as bar:
        tasks = {service.name: bar.add_task(service.name, total=None) for service in opened}

        def progress_of(service: Service) -> OnProgress:
            def show(text: str, share: float | None) -> None:
                total = None if share is None else 1.0
                task = tasks[service.name]
                bar.update(task, description=text, total=total, completed=share or 0.0)

            return show

        yield progress_of


class _Lines:
    """Prints progress as lines, without repeating the last one."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = ""

    def __call__(self, text: str, _: float | None = None) -> None:
        if text != self._last and not self._output.json:
            tell(self._output, text)
        self._last = text


def _introduce(service: Service, output: Output, started: bool) -> None:
    pids = {server.name: server.pid for server in service.servers}
    output.emit(
        "service",
        name=service.name,
        state="running",
        started=started,
        address=service.address,
        pids=pids,
        folder=service.folder,
    )
    if not output.json:
        done = "running" if started else "already running"
        tell(output, f"{service.name}: {done}, {service.url}")


def _show(server: ServerProcess, lines: Sequence[str], output: Output, *, several: bool) -> None:
    for line in lines:
        output.emit("log", server=server.name, line=line)
        if not output.json:
            tell(output, f"{server.name} | {line}" if several else line)
