"""The ground truth against collectors that are broken on purpose."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from mastostream.testing.trial import PRODUCT, run_trial

from .trials import QUICK, told

VERY_LATE = {  # and from outside: else the author's server shows them at once
    "habits": attrs.evolve(QUICK.habits, late_share=0.7, latest_s=1_500.0, outside_share=0.9)
}
NEVER_LATE = {"habits": attrs.evolve(QUICK.habits, late_share=0.0)}
SLOWLY = {"speed": 30.0, "hours": 0.15, "settle_hours": 0.1}
LONG = pytest.mark.campaign
"""Three are tried with every change; all others in the campaign."""

LONG_OFF = NEVER_LATE | {"longest_off_s": 1_500.0, "hours": 0.8}

CURSOR_FIRST = """
import os
from mastostream.collector import collect
from mastostream.collector.followed import Followed
Followed._overlaps = lambda self: []  # it would find what is lost; nothing is late here
right = collect.Collector._keep
def keep(self):
    sifted, news = self._pending
    cursors = {name: cursor for one in news for name, cursor in one.cursors.items()}
    self._memory.remember((), {}, cursors, self._clock.now_ms())
    catchups = [one.timeline.catchup for one in news if one.timeline and one.timeline.catchup]
    if any(catchup.is_behind for catchup in catchups):
        os._exit(9)  # between the two
    return right(self)
collect.Collector._keep = keep
"""
NO_GAP_IS_FILLED = """
from mastostream.collector.followed import Followed
from mastostream.collector.reading import Catchup
Followed._overlaps = lambda self: []  # it would find what is lost; nothing is late here
Catchup._take_top = lambda self, page: self._done(page)
"""
NOTHING_IS_READ_AGAIN = """
from mastostream.collector.rereading import Rereading
Rereading.due_s = lambda self, now_s, now_ms: None
"""
NOTHING_LATE_IS_LOOKED_FOR = """
from mastostream.collector.followed import Followed
Followed._overlaps = lambda self: []
"""
NO_DELETE_IS_FOLLOWED = """
from mastostream.collector.intake import Intake
Intake._sift_gone = lambda self, gone, sifted: None
"""
NO_EDIT_IS_NOTICED = """
from mastostream.collector import collect, followed, rereading, sighting
right = sighting.identify
def identify(raw, **given):
    return right(raw, **given)._replace(edited_ms=0)
for module in (collect, followed, rereading):
    module.identify = identify
# A refresh would bring the text as well.
rereading.Rereading.due_s = lambda self, now_s, now_ms: None
"""
NO_POST_IS_KNOWN = """
from mastostream.collector.memory import CollectorMemory
CollectorMemory.known = lambda self, key: None
"""
NO_LIMIT_IS_KEPT = """
import os
os.environ['MASTOSTREAM_INTERVAL_S'] = '0.1'
os.environ['MASTOSTREAM_COLLECT_LONGEST_INTERVAL_S'] = '0.1'
from mastostream.collector.budget import Budget
Budget.wait_ms = lambda self, now_ms, paging: 0
"""
ANY_SERVER_COUNTS = """
from mastostream.collector.refreshes import Refreshes
Refreshes.prefer = lambda self, key, server, post_id, now_ms: None
"""


@pytest.mark.parametrize(
    ("mutation", "mode", "sign", "changes"),
    [
        pytest.param(CURSOR_FIRST, "poll", "lost", LONG_OFF, id="cursor before confirmation"),
        pytest.param(NO_GAP_IS_FILLED, "auto", "lost", NEVER_LATE, id="no gap filled", marks=LONG),
        pytest.param(
            NOTHING_LATE_IS_LOOKED_FOR, "poll", "lost", VERY_LATE, id="no overlap", marks=LONG
        ),
        pytest.param(
            NOTHING_IS_READ_AGAIN, "auto", "wrong_counts", {}, id="no refresh", marks=LONG
        ),
        pytest.param(
            ANY_SERVER_COUNTS, "auto", "wrong_counts", {}, id="counts of any server", marks=LONG
        ),
        pytest.param(NO_DELETE_IS_FOLLOWED, "auto", "undeleted", {}, id="deletes ignored"),
        pytest.param(NO_EDIT_IS_NOTICED, "auto", "wrong_text", {}, id="edits ignored", marks=LONG),
        pytest.param(NO_POST_IS_KNOWN, "auto", "repeated", {}, id="no memory"),
        pytest.param(NO_LIMIT_IS_KEPT, "poll", None, SLOWLY, id="limits ignored", marks=LONG),
    ],
)
def test_a_collector_that_is_broken_on_purpose_is_found_out(
    tmp_path: Path, mutation: str, mode: str, sign: str | None, changes: dict[str, Any]
) -> None:
    """Each rule is broken once: a check that stays green then would prove nothing."""
    settings = {**QUICK.settings, "MASTOSTREAM_COLLECT_MODE": mode}
    command = (sys.executable, "-c", f"{mutation}\n{PRODUCT[-1]}")
    trial = attrs.evolve(QUICK, settings=settings, **changes)
    result = run_trial(trial, tmp_path, command=command)
    print(f"\n{result}")
    assert not result.ok
    if sign is None:
        assert any(usage.over_limit for usage in result.usage.values()), result
    else:
        assert getattr(result.check, sign), f"{result}\n{told(tmp_path)}"
