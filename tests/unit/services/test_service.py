"""Starting, waiting and stopping a service, with a harmless process instead of a server."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from mastostream.exceptions import (
    BusyError,
    ConfigurationError,
    FatalError,
    RetriableError,
)
from mastostream.services import ServerProcess, Service, free_port
from mastostream.services.process import Command, Process
from mastostream.services.service import Ports


class Listener(Service):
    """A service with one process, which only sleeps."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        script: str = "exec sleep 1000",
        ready: Callable[[], bool] = lambda: True,
        least_space_bytes: int = 0,
        patience_s: float = 60.0,
    ) -> None:
        self.prepared = 0
        self.script = script
        server = ServerProcess(
            process=Process("listener", folder),
            ports=lambda: {"listener": ports["listener"]},
            prepare=self._prepare,
            missing=lambda: "" if ready() else "waiting for a miracle",
            least_space_bytes=least_space_bytes,
        )
        ports = Ports(folder, {"listener": port}, {"listener": 9})
        super().__init__(
            name="listener",
            folder=folder,
            ports=ports,
            servers=[server],
            scheme="test://",
            patience_s=patience_s,
        )

    def _prepare(self, _: object) -> Command:
        self.prepared += 1
        return Command(arguments=["sh", "-c", self.script, str(self.folder)])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Listener]:
    service = Listener(tmp_path / "listener", port=free_port())
    yield service
    service.kill()


def test_starting_twice_starts_once(service: Listener) -> None:
    assert service.state == "stopped"
    assert service.start()
    pid = service.servers[0].pid
    assert not service.start()
    assert not Listener(service.folder).start()
    assert (service.servers[0].pid, service.prepared) == (pid, 1)
    assert service.state == "running"


def test_ending_twice_is_no_error(service: Listener) -> None:
    service.start()
    assert service.stop()
    assert not service.stop()
    assert not service.kill()
    assert service.state == "stopped"
    assert service.start()
    assert service.kill()


def test_a_crash_is_seen_and_mended(service: Listener) -> None:
    service.start()
    pid = service.servers[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while service.servers[0].pid is not None:
        time.sleep(0.01)
    assert service.state == "crashed"
    assert service.start()
    assert service.state == "running"


def test_the_ports_stay_until_others_are_chosen(service: Listener) -> None:
    service.start()
    assert Listener(service.folder).address == service.address
    assert Listener(service.folder).url == f"test://{service.address}"
    other = Listener(service.folder, port=free_port())
    with pytest.raises(BusyError, match=r"runs on other ports.*services down listener"):
        other.start()
    service.stop()
    assert other.start()
    assert Listener(service.folder).address == other.address


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"listener": "x"}', "null"])
def test_damaged_ports_are_the_usual_ones(tmp_path: Path, kept: str) -> None:
    (tmp_path / "ports.json").write_text(kept)
    assert Listener(tmp_path).address == "localhost:9"


def test_a_server_that_dies_shows_its_last_words(tmp_path: Path) -> None:
    script = "echo 'java.lang.Error: no luck'; printf '\\tat a.Frame(A.java:1)\\n'; exit 1"
    service = Listener(tmp_path, port=free_port(), script=script, ready=lambda: False)
    with pytest.raises(FatalError) as failure:
        service.start()
    message = str(failure.value)
    assert "listener ended while it was starting" in message
    assert str(tmp_path / "listener.log") in message
    assert "no luck" in message
    assert "Frame" not in message


def test_a_server_that_died_is_not_ready_whoever_answers(tmp_path: Path) -> None:
    service = Listener(tmp_path, port=free_port(), script="exit 0", ready=lambda: True)
    service.launch()
    while service.servers[0].pid is not None:
        time.sleep(0.01)
    with pytest.raises(FatalError, match="ended while it was starting"):
        service.wait()


def test_one_that_takes_too_long_goes_on(tmp_path: Path) -> None:
    service = Listener(tmp_path, port=free_port(), ready=lambda: False)
    try:
        service.launch()
        with pytest.raises(RetriableError, match=r"not ready after 0 s \(waiting for a miracle"):
            service.servers[0].wait(patience_s=0.01)
        assert service.state == "starting"
    finally:
        service.kill()


def test_a_taken_port_is_an_error_before_anything_is_done(service: Listener) -> None:
    port = int(service.address.partition(":")[2])
    message = f"port {port}, and process {os.getpid()}"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(BusyError, match=message):
        service.start()
    assert service.prepared == 0


def test_a_full_disk_is_an_error_before_anything_is_done(tmp_path: Path) -> None:
    service = Listener(tmp_path / "listener", port=free_port(), least_space_bytes=10**18)
    with pytest.raises(RetriableError, match=r" \d+ MB are free.*needs 1000000000000 MB"):
        service.start()
    assert service.prepared == 0


@pytest.mark.parametrize(
    "name", ["a:b", "a,b", "it's", "a$b", "a%20b", "a=b", "[a]", "a\nb", "a\x1b[2Jb"]
)
def test_a_folder_that_the_servers_cannot_use_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="its path holds"):
        Listener(tmp_path / name).start()
    assert not (tmp_path / name).exists()


def test_a_folder_with_spaces_and_letters_is_fine(tmp_path: Path) -> None:
    service = Listener(tmp_path / "my sérvers (1) &#@!~+", port=free_port())
    try:
        assert service.start()
        assert service.state == "running"
    finally:
        assert service.kill()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot use .*file.*choose another --folder"):
        Listener(tmp_path / "file" / "service").start()


def test_two_at_once_start_it_once(tmp_path: Path) -> None:
    port = free_port()
    services = [Listener(tmp_path / "listener", port=port) for _ in range(4)]
    threads = [threading.Thread(target=service.start) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(service.prepared for service in services) == 1
    assert services[0].kill()


def test_a_command_that_hangs_is_named(tmp_path: Path) -> None:
    service = Listener(tmp_path / "listener", patience_s=0.01)
    service.folder.mkdir()
    with FileLock(service.folder / ".lock"), pytest.raises(BusyError, match="another command"):
        service.start()


def test_looking_changes_nothing(tmp_path: Path) -> None:
    service = Listener(tmp_path / "listener")
    assert service.state == "stopped"
    assert service.address == "localhost:9"
    assert not service.folder.exists()
