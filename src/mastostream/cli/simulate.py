"""A simulated Mastodon server to try things on."""

import os
import threading

import click

from mastostream.cli.live import stopping
from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.exceptions import ConfigurationError
from mastostream.testing.simulator import SimulatedServer

__all__ = ["simulate"]


@click.command()
@common
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="0 for any free one.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 500),
    default=4.0,
    show_default=True,
    help="Posts a second.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other posts.")
@click.option(
    "--backlog",
    type=float,
    default=600.0,
    show_default=True,
    help="Seconds that the server has been there already.",
)
@click.option("--token", help="What a client has to send. Default: none is needed.")
@click.option("--seconds", type=float, help="Stop by itself after so many seconds.")
def simulate(
    settings: MakeSettings,  # noqa: ARG001 - common to all commands
    output: Output,
    port: int,
    rate: float,
    seed: int,
    backlog: float,
    token: str | None,
    seconds: float | None,
) -> None:
    """Run a simulated Mastodon server on the loopback. Its posts and people are generated."""
    stop = threading.Event()
    try:
        server = SimulatedServer(
            port=port, posts_per_s=rate, seed=seed, backlog_s=backlog, token=token
        )
    except OSError as error:
        told = os.strerror(error.errno) if error.errno else error
        raise ConfigurationError(
            f"port {port} cannot be used ({told}): choose another one with --port"
        ) from error
    with stopping(stop), server:
        output.emit("listening", url=server.url)
        if not output.json:
            tell(output, f"simulated server: {server.url}   Ctrl-C stops")
            tell(output, f"follow it: mastostream run --server {server.url} --tag news")
        stop.wait(seconds)
