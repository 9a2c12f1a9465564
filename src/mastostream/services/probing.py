"""Asks a server over its own protocol whether it is ready. Nothing here raises an error."""

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
"""A Kafka request: API key 3 (Metadata), version 1, correlation id 1, no client id (length -1), no
topics (count 0). See https://kafka.apache.org/protocol"""


def get_json(port: int, path: str, password: str = "") -> dict[str, Any] | None:
    """Return the JSON object that a web server on this machine sends; ``None`` if it sends none.

    Args:
        port: the port on the loopback address. No proxy is used.
        path: the path of the URL, with its query.
        password: the password of Elasticsearch's user ``elastic``; empty for no authentication.
    """
    headers = {}
    if password:
        headers["Authorization"] = (
            f"Basic {base64.b64encode(f'elastic:{password}'.encode()).decode()}"
        )
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = json.loads(response.read()) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return content if isinstance(content, dict) else None


def kafka_brokers(port: int) -> int:
    """Return how many brokers the one on this port knows of; 0 if it does not answer."""
    try:
        with socket.create_connection((HOST, port), timeout=_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(_METADATA)) + _METADATA)
            response = connection.makefile("rb").read(12)
        # Three 32-bit numbers: the length, the correlation id, the number of brokers.
        return int(struct.unpack(">iii", response)[2])
    except (OSError, struct.error):
        return 0
