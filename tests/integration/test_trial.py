"""The collector against a ground truth."""

from pathlib import Path

import attrs
import pytest

from mastostream.testing.trial import run_trial

from .trials import QUICK, told


@pytest.mark.parametrize("mode", ["auto", "poll"])
def test_nothing_is_lost_repeated_or_out_of_date(tmp_path: Path, mode: str) -> None:
    """With every fault, and killed again and again."""
    settings = {**QUICK.settings, "MASTOSTREAM_COLLECT_MODE": mode}
    trial = attrs.evolve(QUICK, hours=0.8, kills=5, fault_every_s=300.0, settings=settings)
    result = run_trial(trial, tmp_path)
    print(f"\n{result}")
    assert result.check.expected > 200
    assert result.ok, f"{result}\n{told(tmp_path)}"
