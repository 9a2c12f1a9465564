"""What a collector is made of."""

from pathlib import Path

import pytest

from mastostream.collector import CollectorStateStore
from mastostream.config import Credentials, Settings
from mastostream.exceptions import FatalError
from mastostream.ports.clock import SystemClock
from mastostream.wiring import collector, data_paths, followed_servers


def test_a_memory_of_another_log_is_refused_with_its_last_offset(tmp_path: Path) -> None:
    """It would take posts for logged that this log has never seen."""
    settings = Settings(data=str(tmp_path), server="social.example", tags=("news",))
    store = CollectorStateStore(data_paths(settings).collector_state)
    store.remember((), {0: 5}, {}, now_ms=1)
    store.close()
    with pytest.raises(FatalError, match=r"remembers the log up to offset 4, but .* ends before"):
        collector(settings, lambda _host, _only: Credentials(), SystemClock())


def test_spellings_of_one_hashtag_are_collected_once_and_others_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tags = ("ข่าว", "ขาว", "Café", "cafe")  # Thai "news" and "white"
    settings = Settings(data=str(tmp_path), server="social.example", tags=tags)
    (server,) = followed_servers(settings)
    assert server.tags == ("ข่าว", "ขาว", "cafe")
    collector(settings, lambda _host, _only: Credentials(), SystemClock()).close()
    assert [record.getMessage() for record in caplog.records] == [
        "social.example: #Café, #cafe are spellings of one hashtag; #cafe is collected"
    ]
