"""Free ports, and the processes that hold the others."""

import os
import socket
from pathlib import Path

import pytest

from mastostream.exceptions import BusyError
from mastostream.services import free_port
from mastostream.services.loopback import check_free, is_free, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_named_with_its_holder(host: str) -> None:
    with socket.create_server((host, 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        message = rf"kafka needs port {port}, and process {os.getpid()} \(.*python.*--port kafka="
        with pytest.raises(BusyError, match=message):
            check_free("kafka", port)
        assert (os.getpid(), (host, port)) in set(listening())
    check_free("kafka", port)


def test_a_port_of_ipv6_is_seen() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        assert (os.getpid(), ("::1", port)) in set(listening())


def test_a_port_that_was_just_left_is_free() -> None:
    """Connections in the state TIME_WAIT do not hold it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            assert client.recv(1) == b""
    assert is_free(port)


def test_a_chosen_port_is_none_of_those_for_outgoing_connections() -> None:
    """Otherwise a client that retries could get the port of the server that it waits for."""
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    first, last = map(int, kernel)
    chosen = {free_port() for _ in range(20)}
    assert len(chosen) > 1
    assert all(is_free(port) for port in chosen)
    if (first, last) == (32768, 60999):
        assert not any(first <= port <= last for port in chosen)
