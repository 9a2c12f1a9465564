"""``kibana``: export the dashboard to a file, import it into Kibana, open it in a browser."""

import webbrowser
from pathlib import Path

import attrs
import click

from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import Settings, load_secrets
from mastostream.dashboards.kibana import LIVE, dashboard_id, saved_objects, to_ndjson
from mastostream.dashboards.kibana.kibana_api import SECRET_NAMES, Kibana
from mastostream.dashboards.text import safe
from mastostream.exceptions import FatalError

__all__ = ["kibana"]

_url = click.option("--url", metavar="URL", help="Kibana's address. Default: the configured one.")
_space = click.option(
    "--space", metavar="ID", help="Kibana's space. Default: the configured one, or the default one."
)


@click.group()
def kibana() -> None:
    """Look at the Elasticsearch indices in Kibana."""


@kibana.command()
@common
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@_space
def export(settings: MakeSettings, output: Output, file: str, space: str | None) -> None:
    """Write the dashboard to FILE, for Kibana's own import; - for standard output."""
    chosen = settings(kibana__space=space)
    objects = saved_objects(LIVE, chosen.kibana.space, chosen.elasticsearch.index_prefix)
    text = to_ndjson(objects)
    if file == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="ascii", newline="\n")
    except OSError as error:
        raise FatalError(f"cannot write {file}: {error.strerror}") from error
    output.emit("file", name=file, objects=len(objects))
    if not output.json:
        tell(output, f"{len(objects)} saved objects are in {safe(file)}")


@kibana.command("import")
@common
@_url
@_space
@click.option(
    "--overwrite/--no-overwrite",
    default=False,
    help="Replace what is there of an earlier import, and what was changed in it since. "
    "Default: change nothing then.",
)
def import_(
    settings: MakeSettings, output: Output, url: str | None, space: str | None, overwrite: bool
) -> None:
    """Put the dashboard and its data views into Kibana.

    Where Kibana asks who you are: ELASTICSEARCH_API_KEY, or ELASTICSEARCH_USERNAME and
    ELASTICSEARCH_PASSWORD, in the environment or in .env.
    """
    chosen = settings(kibana__url=url, kibana__space=space)
    objects = saved_objects(LIVE, chosen.kibana.space, chosen.elasticsearch.index_prefix)
    with _server(chosen) as server:
        done = server.import_objects(to_ndjson(objects), overwrite=overwrite)
        address = server.dashboard_url(_dashboard_id(chosen))
    for failure in done.failures:
        output.emit("failure", **attrs.asdict(failure))
        if not output.json:
            tell(output, f"{failure.type} {failure.id}: {failure.reason}")
    output.emit("import", ok=not done.failures, imported=done.count, url=address)
    if done.failures:
        advice = (
            "; --overwrite replaces what is there"
            if any(failure.exists for failure in done.failures)
            else ": see above"
        )
        raise FatalError(f"{done.count} of {len(objects)} saved objects were imported{advice}")
    if not output.json:
        tell(output, f"{done.count} saved objects imported. Look at them:\n\n    {address}\n")


@kibana.command("open")
@common
@_url
@_space
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def open_(
    settings: MakeSettings,
    output: Output,
    url: str | None,
    space: str | None,
    no_browser: bool,
) -> None:
    """Open the dashboard in a browser."""
    chosen = settings(kibana__url=url, kibana__space=space)
    with _server(chosen) as server:
        server.version()
        address = server.dashboard_url(_dashboard_id(chosen))
    output.emit("open", url=address)
    if not output.json:
        tell(output, address)
    if not no_browser and not _open_in_browser(address):
        click.echo("there is no browser here: open the address anywhere", err=True)


def _dashboard_id(settings: Settings) -> str:
    return dashboard_id(LIVE, settings.kibana.space, settings.elasticsearch.index_prefix)


def _server(settings: Settings) -> Kibana:
    chosen = settings.kibana
    return Kibana(
        chosen.url,
        space=chosen.space,
        ca_file=chosen.ca_file,
        secrets=load_secrets(SECRET_NAMES),
    )


def _open_in_browser(address: str) -> bool:
    try:
        return webbrowser.get().open(address)
    except webbrowser.Error:
        return False
