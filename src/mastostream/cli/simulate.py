"""``simulate``: run simulated Mastodon servers."""

import os
import threading
from typing import Final, Literal

import attrs
import click
from click.core import ParameterSource

from mastostream.cli.check_command import check_collector
from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.cli.run_view import stopping
from mastostream.config import Settings
from mastostream.exceptions import ConfigurationError
from mastostream.ports.clock import ScaledClock, SystemClock
from mastostream.testing.chaos import ChaosExperiment
from mastostream.testing.simulator import (
    FAULT_KINDS,
    Family,
    FaultKind,
    FaultPlan,
    Fediverse,
    SimulatedServer,
    TrafficProfile,
    serving,
)

__all__ = ["simulate"]

_NAMES: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_share = click.FloatRange(0, 1)


@click.command()
@common
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="0 for any free one; several servers take the next ones, too.",
)
@click.option(
    "--servers",
    type=click.IntRange(1, len(_NAMES)),
    default=1,
    show_default=True,
    help="How many. They share their posts, and each gives them other ids.",
)
@click.option(
    "--family",
    type=click.Choice(["mastodon", "gotosocial", "mixed"]),
    default="mastodon",
    show_default=True,
    help="The software that they pretend to be; mixed: every third is GoToSocial.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 500),
    default=4.0,
    show_default=True,
    help="Posts a second, of all servers together, by their clock.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 100_000),
    default=1.0,
    show_default=True,
    help="Seconds that pass on their clock in one second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other posts.")
@click.option(
    "--backlog",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds that the servers have been there already.",
)
@click.option("--token", help="What a client has to send. Default: none is needed but for streams.")
@click.option(
    "--late",
    type=_share,
    help="Share of the posts that get to other servers late. Default: 0.02 with several servers.",
)
@click.option(
    "--latest",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    show_default=True,
    help="Hours that they are late, at most.",
)
@click.option(
    "--boosts",
    type=_share,
    default=0.0,
    show_default=True,
    help="Share of the posts whose boosts show in timelines, as on Pleroma.",
)
@click.option(
    "--nights",
    type=_share,
    default=0.0,
    show_default=True,
    help="How much quieter nights (UTC) are than days; 1 for silence.",
)
@click.option(
    "--faults",
    type=click.Choice(["all", *FAULT_KINDS]),
    multiple=True,
    help="What goes wrong now and then; may be repeated.",
)
@click.option(
    "--fault-every",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    help="Seconds in which one thing goes wrong, by their clock.",
)
@click.option("--seconds", type=float, help="Stop by itself after so many seconds.")
@click.option(
    "--check",
    is_flag=True,
    help="Run the collector on three servers with every fault, kill it, and compare what it holds "
    "with the truth. Of the other options --seed and --speed count then.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    default=6.0,
    show_default=True,
    help="With --check: simulated, and 26 more until all was read again.",
)
@click.option(
    "--kills",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="With --check: how often it is ended by kill -9.",
)
@click.pass_context
def simulate(
    context: click.Context,
    settings: MakeSettings,
    output: Output,
    port: int,
    servers: int,
    family: Literal["mastodon", "gotosocial", "mixed"],
    rate: float,
    speed: float,
    seed: int,
    backlog: float,
    token: str | None,
    late: float | None,
    latest: float,
    boosts: float,
    nights: float,
    faults: tuple[FaultKind | Literal["all"], ...],
    fault_every: float,
    seconds: float | None,
    check: bool,
    hours: float,
    kills: int,
) -> None:
    """Run simulated Mastodon servers on the loopback. Their posts and people are generated.

    Example: mastostream simulate --servers 3 --family mixed --faults all
    """
    if check:
        experiment = ChaosExperiment(hours=hours, kills=kills, seed=seed)
        if context.get_parameter_source("speed") is ParameterSource.COMMANDLINE:
            experiment = attrs.evolve(experiment, speed=speed)
        data = settings().data
        check_collector(experiment, None if data == Settings().data else data, output)
        return
    now_ms = SystemClock().now_ms()
    clock = SystemClock() if speed == 1 else ScaledClock(now_ms, now_ms, speed)
    traffic_profile = TrafficProfile() if servers > 1 or late else TrafficProfile.of_one_server()
    fediverse = _fediverse(
        servers,
        family,
        seed,
        now_ms - int(backlog * 1000),
        attrs.evolve(
            traffic_profile,
            posts_per_s=rate,
            late_share=traffic_profile.late_share if late is None else late,
            latest_s=latest * 3600,
            boost_share=boosts,
            day_night=nights,
        ),
    )
    kinds = FAULT_KINDS if "all" in faults else tuple(kind for kind in faults if kind != "all")
    plan = FaultPlan(seed=seed, kinds=kinds, every_s=fault_every) if kinds else None
    ports = [port and port + number for number in range(servers)]
    tokens = {} if token is None else dict.fromkeys(fediverse.worlds, token)
    stop = threading.Event()
    try:
        with (
            stopping(stop),
            serving(fediverse, clock=clock, ports=ports, tokens=tokens, plan=plan) as running,
        ):
            _introduce(output, running, speed)
            stop.wait(seconds)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else error
        raise ConfigurationError(
            f"port {port} cannot be used ({reason}): choose another one with --port"
        ) from error


def _fediverse(
    servers: int,
    family: Literal["mastodon", "gotosocial", "mixed"],
    seed: int,
    start_ms: int,
    traffic_profile: TrafficProfile,
) -> Fediverse:
    hosts = [f"{name}.example" for name in _NAMES[:servers]] if servers > 1 else ["social.example"]
    families: dict[str, Family] = {}
    for number, host in enumerate(hosts):
        mixed: Family = "gotosocial" if number % 3 == 2 else "mastodon"
        families[host] = mixed if family == "mixed" else family
    return Fediverse(
        hosts=hosts,
        families=families,
        seed=seed,
        start_ms=start_ms,
        traffic_profile=traffic_profile,
    )


def _introduce(output: Output, running: tuple[SimulatedServer, ...], speed: float) -> None:
    for server in running:
        family = server.world.family
        output.emit("listening", url=server.url, host=server.host, family=family, speed=speed)
        if not output.json:
            tell(output, f"simulated server: {server.url}   {server.host}, {family}")
    if output.json:
        return
    if speed != 1:
        tell(output, f"{speed:g} seconds pass there in one second")
    chosen = " ".join(f"--server {server.url}" for server in running)
    tell(output, f"follow: mastostream run {chosen} --tag news   Ctrl-C stops")
