"""A simulated Mastodon server over real HTTP. All of its posts and people are generated."""

from mastostream.testing.simulator.faults import Fault, Faults
from mastostream.testing.simulator.server import SimulatedServer
from mastostream.testing.simulator.world import World, generate_statuses

__all__ = ["Fault", "Faults", "SimulatedServer", "World", "generate_statuses"]
