"""Simulated Mastodon and GoToSocial servers over real HTTP. Posts and accounts are generated."""

from mastostream.testing.simulator.comparison import CheckResult, HeldPost, compare
from mastostream.testing.simulator.families import Family
from mastostream.testing.simulator.fault_plan import FAULT_KINDS, FaultKind, FaultPlan
from mastostream.testing.simulator.faults import Fault, Faults
from mastostream.testing.simulator.fediverse import Fediverse
from mastostream.testing.simulator.ground_truth import ExpectedPost, GroundTruth, RefreshSchedule
from mastostream.testing.simulator.limits import Usage
from mastostream.testing.simulator.server import SimulatedServer, serving
from mastostream.testing.simulator.statuses import generate_statuses
from mastostream.testing.simulator.traffic_profile import TrafficProfile
from mastostream.testing.simulator.world import World

__all__ = [
    "FAULT_KINDS",
    "CheckResult",
    "ExpectedPost",
    "Family",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Faults",
    "Fediverse",
    "GroundTruth",
    "HeldPost",
    "RefreshSchedule",
    "SimulatedServer",
    "TrafficProfile",
    "Usage",
    "World",
    "compare",
    "generate_statuses",
    "serving",
]
