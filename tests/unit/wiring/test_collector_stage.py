"""What a collector is made of."""

from pathlib import Path

import pytest

from mastostream.collector import CollectorStateStore
from mastostream.config import Credentials, Settings
from mastostream.exceptions import FatalError
from mastostream.ports.clock import SystemClock
from mastostream.wiring import collector, data_paths


def test_a_memory_of_another_log_is_refused_with_its_last_offset(tmp_path: Path) -> None:
    """It would take posts for logged that this log has never seen."""
    settings = Settings(data=str(tmp_path), server="social.example", tags=("news",))
    store = CollectorStateStore(data_paths(settings).collector_state)
    store.remember((), {0: 5}, {}, now_ms=1)
    store.close()
    with pytest.raises(FatalError, match=r"remembers the log up to offset 4, but .* ends before"):
        collector(settings, lambda _host, _only: Credentials(), SystemClock())
