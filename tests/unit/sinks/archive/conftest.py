"""Archives in memory, where the system has a file system there."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # tmpfs, on Linux
ENOUGH_BYTES = 2**28


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder that writes through at once.

    These tests seal thousands of files, and a disk takes milliseconds for each. They end processes,
    never the machine: what was written through makes no difference to them.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ENOUGH_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="mastostream-") as folder:
        yield Path(folder)
