"""Chaos experiments with collectors that are broken on purpose: each must be found out."""

import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from mastostream.testing.chaos import PRODUCT, run_experiment

from .experiments import QUICK, log_tail

VERY_LATE = {  # by authors of other servers: the author's own server shows a post at once
    "traffic_profile": attrs.evolve(
        QUICK.traffic_profile, late_share=0.7, latest_s=1_500.0, outside_share=0.9
    )
}
NEVER_LATE = {"traffic_profile": attrs.evolve(QUICK.traffic_profile, late_share=0.0)}
SLOWLY = {"speed": 30.0, "hours": 0.15, "settle_hours": 0.1}
LONG = pytest.mark.campaign
"""Three of them run with every change, the others only in the campaign."""

LONG_OFF = NEVER_LATE | {"longest_off_s": 1_500.0, "hours": 0.8}

CURSOR_FIRST = """
import os
from mastostream.collector import collect
from mastostream.collector.request_scheduler import RequestScheduler
# Lookbacks would find what is lost. Nothing is late here, so they are not needed.
RequestScheduler._lookback_candidates = lambda self: []
right = collect.Collector._commit
def commit(self):
    write_plan, results = self._pending
    cursors = {name: cursor for result in results for name, cursor in result.cursors.items()}
    self._state_store.remember((), {}, cursors, self._clock.now_ms())
    timelines = [result.timeline for result in results if result.timeline]
    gap_fills = [timeline.gap_fill for timeline in timelines if timeline.gap_fill]
    if any(gap_fill.is_behind for gap_fill in gap_fills):
        os._exit(9)  # between the two
    return right(self)
collect.Collector._commit = commit
"""
NO_GAP_IS_FILLED = """
from mastostream.collector.request_scheduler import RequestScheduler
from mastostream.collector.pagination import GapFill
# Lookbacks would find what is lost. Nothing is late here, so they are not needed.
RequestScheduler._lookback_candidates = lambda self: []
GapFill._take_top = lambda self, page: self._done(page)
"""
NOTHING_IS_READ_AGAIN = """
from mastostream.collector.refresher import Refresher
Refresher.due_s = lambda self, now_s, now_ms: None
"""
NOTHING_LATE_IS_LOOKED_FOR = """
from mastostream.collector.request_scheduler import RequestScheduler
RequestScheduler._lookback_candidates = lambda self: []
"""
NO_DELETE_IS_FOLLOWED = """
from mastostream.collector.dedup import Deduplicator
Deduplicator._plan_delete = lambda self, delete, write_plan: None
"""
NO_EDIT_IS_NOTICED = """
from mastostream.collector import collect, observation, refresher, request_scheduler
right = observation.identify
def identify(raw, **given):
    return right(raw, **given)._replace(edited_ms=0)
for module in (collect, refresher, request_scheduler):
    module.identify = identify
# A refresh would bring the new text as well.
refresher.Refresher.due_s = lambda self, now_s, now_ms: None
"""
NO_POST_IS_KNOWN = """
from mastostream.collector.state_store import CollectorStateStore
CollectorStateStore.known = lambda self, key: None
"""
NO_LIMIT_IS_KEPT = """
import os
os.environ['MASTOSTREAM_INTERVAL_S'] = '0.1'
os.environ['MASTOSTREAM_COLLECT_LONGEST_INTERVAL_S'] = '0.1'
from mastostream.collector.budget import Budget
Budget.wait_ms = lambda self, now_ms, paging: 0
"""
ANY_SERVER_COUNTS = """
from mastostream.collector.refresh_queue import RefreshQueue
RefreshQueue.prefer = lambda self, key, server, post_id, now_ms: None
"""


@pytest.mark.parametrize(
    ("mutation", "mode", "sign", "changes"),
    [
        pytest.param(CURSOR_FIRST, "poll", "lost", LONG_OFF, id="cursor before confirmation"),
        pytest.param(NO_GAP_IS_FILLED, "auto", "lost", NEVER_LATE, id="no gap filled", marks=LONG),
        pytest.param(
            NOTHING_LATE_IS_LOOKED_FOR, "poll", "lost", VERY_LATE, id="no lookback", marks=LONG
        ),
        pytest.param(
            NOTHING_IS_READ_AGAIN, "auto", "wrong_counts", {}, id="no refresh", marks=LONG
        ),
        pytest.param(
            ANY_SERVER_COUNTS, "auto", "wrong_counts", {}, id="counts of any server", marks=LONG
        ),
        pytest.param(NO_DELETE_IS_FOLLOWED, "auto", "undeleted", {}, id="deletes ignored"),
        pytest.param(NO_EDIT_IS_NOTICED, "auto", "wrong_text", {}, id="edits ignored", marks=LONG),
        pytest.param(NO_POST_IS_KNOWN, "auto", "repeated", {}, id="no state"),
        pytest.param(NO_LIMIT_IS_KEPT, "poll", None, SLOWLY, id="limits ignored", marks=LONG),
    ],
)
def test_a_collector_that_is_broken_on_purpose_is_found_out(
    tmp_path: Path, mutation: str, mode: str, sign: str | None, changes: dict[str, Any]
) -> None:
    """Each rule is broken once. A check that stayed green then would prove nothing."""
    settings = {**QUICK.settings, "MASTOSTREAM_COLLECT_MODE": mode}
    command = (sys.executable, "-c", f"{mutation}\n{PRODUCT[-1]}")
    experiment = attrs.evolve(QUICK, settings=settings, **changes)
    result = run_experiment(experiment, tmp_path, command=command)
    print(f"\n{result}")
    assert not result.ok
    if sign is None:
        assert any(usage.over_limit for usage in result.usage.values()), result
    else:
        assert getattr(result.check, sign), f"{result}\n{log_tail(tmp_path)}"
