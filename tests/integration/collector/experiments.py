"""A chaos experiment on the collector that takes half a minute."""

from pathlib import Path

from mastostream.testing.chaos import ChaosExperiment
from mastostream.testing.simulator import TrafficProfile

QUICK = ChaosExperiment(
    hours=0.5,
    settle_hours=0.5,
    speed=120.0,
    kills=3,
    longest_off_s=180.0,
    servers=2,
    tags=6,
    fault_every_s=0.0,
    refresh_after_s=(30.0, 120.0, 900.0),
    traffic_profile=TrafficProfile(
        posts_per_s=0.25,
        latest_s=500.0,
        changes_within_s=500.0,
        late_share=0.1,
        edit_share=0.1,
        delete_share=0.1,
        growth_s=60.0,
    ),
    settings={"MASTOSTREAM_COLLECT_OVERLAP_S": "60"},
)


def log_tail(folder: Path) -> str:
    """Return the end of the collector's log."""
    return (folder / "collector.log").read_text(errors="replace")[-3_000:]
