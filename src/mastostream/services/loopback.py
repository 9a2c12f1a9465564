"""TCP ports of this machine: finds free ones, and the processes that listen on the others."""

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
"""How /proc/net/tcp writes the state TCP_LISTEN (Linux, include/net/tcp_states.h)."""

_CANDIDATE_PORTS: Final = range(20_000, 32_000)
"""The ports that :func:`free_port` chooses from. They are below those that Linux gives to outgoing
connections (32768 to 60999). Otherwise a client that retries to connect to a stopped server could
be given the server's own port."""

_PATIENCE_S: Final = 2.0
"""How long :func:`check_free` waits for a process that is ending to give its port back."""

_POLL_S: Final = 0.1


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Choose a port at random that nobody listens on. The port is not reserved.

    Args:
        taken: ports that must not be chosen.

    Raises:
        BusyError: no free port was found.
    """
    rng = random.SystemRandom()
    for _ in range(1_000):
        port = rng.choice(_CANDIDATE_PORTS)
        if port not in taken and is_free(port):
            return port
    raise BusyError("no free port was found: end some of the servers on this machine")


def check_free(name: str, port: int) -> None:
    """Check that a server can listen on a port.

    A server that was killed a moment ago may still hold its port, so the check waits up to 2 s.

    Args:
        name: the name of the port, for the message.
        port: the port number.

    Raises:
        BusyError: another process listens there. The message names it, if it is visible.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        if is_free(port):
            return
        holder = next((pid for pid, (_, held) in listening() if held == port), None)
        # The holder is invisible if it is ending (then the port will be free soon), or if it
        # belongs to another user.
        if holder is not None or time.monotonic() > deadline_s:
            break
        time.sleep(_POLL_S)
    who = "another process" if holder is None else f"process {holder} ({_command(holder)})"
    raise BusyError(
        f"{name} needs port {port}, and {who} listens there: end it, or choose another port "
        f"with --port {name}=PORT"
    )


def listening() -> Iterator[tuple[int, tuple[str, int]]]:
    """Yield ``(pid, (address, port))`` for each TCP socket that a process listens on.

    Only root sees the processes of other users.
    """
    sockets = dict(_sockets())
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    endpoint = sockets.get(str(descriptor.readlink()))
                    if endpoint is not None:
                        yield int(process.name), endpoint


def _sockets() -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield each listening socket, as ``/proc/PID/fd`` names it, with its address and port."""
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path("/proc/net") / table
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        for line in lines:
            _, local, _, state, *_, inode = line.split()[:10]
            if state != _LISTEN:
                continue
            address, port = local.split(":")
            # The kernel prints each 32-bit word of an address in the machine's own byte order.
            words = (address[at : at + 8] for at in range(0, len(address), 8))
            raw = b"".join(socket.htonl(int(word, 16)).to_bytes(4, "big") for word in words)
            yield f"socket:[{inode}]", (socket.inet_ntop(family, raw), int(port, 16))


def _command(pid: int) -> str:
    """Return the command line of a process for a message: printable, at most 60 characters."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "unknown"
    program, _, rest = command.decode(errors="replace").partition("\0")
    line = f"{Path(program).name} {rest}".replace("\0", " ").strip()
    shown = "".join(character if character.isprintable() else "?" for character in line)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
