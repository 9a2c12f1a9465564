"""Asking a server whether it is ready, over its own protocol. Nothing here raises."""

import base64
import http.client
import json
import socket
import struct
from typing import Any, Final

from mastostream.services.loopback import HOST

__all__ = ["get_json", "kafka_brokers"]

_TIMEOUT_S: Final = 5.0
_METADATA: Final = struct.pack(">hhihi", 3, 1, 1, -1, 0)
"""A request: Metadata (3), version 1, number 1, no client name, no topics.
See https://kafka.apache.org/protocol"""


def get_json(port: int, path: str, password: str = "") -> dict[str, Any] | None:
    """Return the JSON object that a web server gives, ``None`` where it gives none.

    Args:
        port: of the loopback; no proxy is asked.
        path: with its query.
        password: of the user ``elastic``.
    """
    headers = {}
    if password:
        headers["Authorization"] = (
            f"Basic {base64.b64encode(f'elastic:{password}'.encode()).decode()}"
        )
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        found = json.loads(answer.read()) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found if isinstance(found, dict) else None


def kafka_brokers(port: int) -> int:
    """Return how many brokers serve, as the one on this port knows; 0 where it does not answer."""
    try:
        with socket.create_connection((HOST, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
            answer = connection.makefile("rb").read(12)
        return int(struct.unpack(">iii", answer)[2])
    except (OSError, struct.error):
        return 0
