"""Chaos experiments: what the collector logs is compared with the ground truth."""

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from tests.integration.pipeline.window_recount import check_windows_of

from mastostream.testing.chaos import run_experiment

from .experiments import QUICK, log_tail

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("mode", ["auto", pytest.param("poll", marks=pytest.mark.campaign)])
def test_nothing_is_lost_repeated_or_out_of_date(
    tmp_path: Path,
    mode: str,
    seed: int,
    kills: int,
    record_property: Callable[[str, object], None],
) -> None:
    """With all kinds of faults, while the collector is killed again and again."""
    settings = {**QUICK.settings, "MASTOSTREAM_COLLECT_MODE": mode}
    experiment = attrs.evolve(
        QUICK, hours=0.16 * kills, kills=kills, fault_every_s=300.0, settings=settings, seed=seed
    )
    result = run_experiment(experiment, tmp_path)
    record_property("kills", result.kills)
    print(f"\n{result}")
    assert result.check.expected > 200
    assert result.ok, f"{result}\n{log_tail(tmp_path)}"
    check_windows_of(tmp_path / "data")
