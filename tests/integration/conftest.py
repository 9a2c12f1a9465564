"""A server that was not written here, for the integration tests; it listens on the loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

BIN = Path(sys.executable).parent
TIMEOUT_S = 600
LONGEST_S = 7_200
"""Of the campaign, where a test may kill its processes a hundred times."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give these tests more time than the unit tests have."""
    seconds = LONGEST_S if config.option.thorough else TIMEOUT_S
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="module")
def mastodon_mock() -> Iterator[str]:
    """A Mastodon server that was not written here; its token is ``mock_token``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "mastodon_mock", "serve", "--in-memory", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                if requests.get(f"{url}/api/v1/instance", timeout=2).ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)
