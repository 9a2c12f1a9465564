"""Ports of this machine: which are free, and who holds the others."""

import contextlib
import random
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from mastostream.exceptions import BusyError

__all__ = ["HOST", "check_free", "free_port", "is_free", "listening"]

HOST: Final = "127.0.0.1"
_LISTEN: Final = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""

_CHOICE: Final = range(20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections (32768 to 60999): a client that tries to
reach a stopped server again and again could otherwise be given the server's own port."""


_PATIENCE_S: Final = 2.0
_POLL_S: Final = 0.1


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Choose a port that nobody listens on; another caller may choose another one.

    Raises:
        BusyError: none was found.
    """
    choice = random.SystemRandom()
    for _ in range(1_000):
        port = choice.choice(_CHOICE)
        if port not in taken and is_free(port):
            return port
    raise BusyError("no free port was found: end some of the servers on this machine")


def check_free(name: str, port: int) -> None:
    """Make sure that a server can listen there; one that has just been killed may hold it still.

    Raises:
        BusyError: another process does; the message names it where it can be seen.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        if is_free(port):
            return
        holder = next((pid for pid, (_, held) in listening() if held == port), None)
        # A process that is ending cannot be seen any more, nor can another user's.
        if holder is not None or time.monotonic() > deadline_s:
            break
        time.sleep(_POLL_S)
    who = "another process" if holder is None else f"process {holder} ({_command(holder)})"
    raise BusyError(
        f"{name} needs port {port}, and {who} listens there: end it, or choose another port "
        f"with --port {name}=PORT"
    )


def listening() -> Iterator[tuple[int, tuple[str, int]]]:
    """Each process that listens, with address and port. Other users' are seen by root alone."""
    sockets = dict(_sockets())
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            for each in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    where = sockets.get(str(each.readlink()))
                    if where is not None:
                        yield int(process.name), where


def _sockets() -> Iterator[tuple[str, tuple[str, int]]]:
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path("/proc/net") / table
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for line in lines:
            _, local, _, state, *_, inode = line.split()[:10]
            if state != _LISTEN:
                continue
            address, port = local.split(":")
            # each 32-bit word is written in the machine's own byte order
            words = (address[at : at + 8] for at in range(0, len(address), 8))
            raw = b"".join(socket.htonl(int(word, 16)).to_bytes(4, "big") for word in words)
            yield f"socket:[{inode}]", (socket.inet_ntop(family, raw), int(port, 16))


def _command(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "unknown"
    program, _, rest = command.decode(errors="replace").partition("\0")
    told = f"{Path(program).name} {rest}".replace("\0", " ").strip()  # without its folder
    shown = "".join(each if each.isprintable() else "?" for each in told)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
