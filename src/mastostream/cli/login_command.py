"""``login``: get a token from a server, and keep it in ``.env``."""

import os
import secrets
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from io import StringIO
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from mastostream.cli.callback import Callback
from mastostream.cli.options import Output, common, tell
from mastostream.cli.pipeline import MakeSettings
from mastostream.config import CREDENTIAL_NAMES, Settings, credential_name
from mastostream.dashboards.text import safe
from mastostream.exceptions import ConfigurationError, FatalError
from mastostream.sources.mastodon import server_url
from mastostream.sources.mastodon.authorization import OUT_OF_BAND, Login, Registration

__all__ = ["login"]

_ENV_FILE: Final = ".env"


@click.command()
@common
@click.option(
    "--server", help="Mastodon server: a host name or a URL. Default: the configured one."
)
@click.option(
    "--no-browser",
    "--code",
    "no_browser",
    is_flag=True,
    help="Show an address to open anywhere, and ask for the code that it gives.",
)
@click.option(
    "--suffix",
    is_flag=True,
    help="Keep the token under the server's own name, ACCESS_TOKEN_<HOST>, in any case.",
)
def login(
    settings: MakeSettings, output: Output, server: str | None, no_browser: bool, suffix: bool
) -> None:
    """Log in to a server, so that it may be read with a token.

    The token may read posts and your account's name, nothing else. It is written into .env in this
    folder, and never shown. It stands there under the server's own name unless this is the only
    server in the settings.
    """
    chosen = settings()
    server = server or _only_server(chosen)
    path = Path(_ENV_FILE).resolve()
    if not os.access(path.parent, os.W_OK):
        raise FatalError(f"cannot write {path}: choose a folder where you can")
    _read(path)  # a file that cannot be read fails before the login, not after it
    done = (_without_browser if no_browser else _with_browser)(server, chosen, output)
    text = _read(path)
    names = _names_for(server, chosen, text, suffix=suffix)
    values = (done.client_key, done.client_secret, done.access_token)
    _write(path, _with_values(text, dict(zip(names, values, strict=True))))
    _report(output, _host(server), done, names)


def _host(server: str) -> str:
    return urlsplit(server_url(server)).netloc


def _names_for(server: str, settings: Settings, text: str, *, suffix: bool) -> Sequence[str]:
    """Return the names under which a server's credentials are kept.

    The plain names are used only if this is the only server in the settings, and if ``.env`` has no
    values under the server's own names, which would be used first.
    """
    own = [credential_name(name, _host(server)) for name in CREDENTIAL_NAMES]
    only = len(settings.servers) < 2 and _host(server) == _host(_only_server(settings))
    return CREDENTIAL_NAMES if only and not suffix and not _names(text) & {*own} else own


def _only_server(settings: Settings) -> str:
    if len(settings.servers) > 1:
        raise ConfigurationError(
            "there are several servers in the settings: say with --server which one it is"
        )
    return settings.servers[0].server if settings.servers else settings.server


def _with_browser(server: str, settings: Settings, output: Output) -> Login:
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return _without_browser(server, settings, output)
    state = secrets.token_urlsafe(32)
    with (
        Callback(state) as callback,
        closing(Registration(server, callback.url, settings.contact)) as registration,
    ):
        address = registration.address(state)
        _show(output, address, "Allow it in your browser. If none opens, open on this machine:")
        browser.open(address)
        return registration.finish(callback.wait())


def _without_browser(server: str, settings: Settings, output: Output) -> Login:
    with closing(Registration(server, OUT_OF_BAND, settings.contact)) as registration:
        address = registration.address(secrets.token_urlsafe(32))
        _show(output, address, "Open this address anywhere, log in and allow it:")
        code = click.prompt("The code that it shows", err=True).strip()
        return registration.finish(code)


def _show(output: Output, address: str, text: str) -> None:
    output.emit("open", url=address)
    if not output.json:
        tell(output, f"{text}\n\n    {safe(address)}\n")


def _report(output: Output, host: str, done: Login, names: Sequence[str]) -> None:
    account, scopes = safe(done.account), list(done.scopes)
    output.emit(
        "login", server=host, account=account, scopes=scopes, file=_ENV_FILE, names=list(names)
    )
    if not output.json:
        tell(output, f"logged in to {host} as {account}, for: {' '.join(scopes)}")
        tell(output, f"{_ENV_FILE}: {', '.join(names)}")
    hiding = [name for name in names if os.environ.get(name)]
    if hiding:
        click.echo(
            f"the environment has {', '.join(hiding)}, which comes before {_ENV_FILE}: unset it",
            err=True,
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from error


def _names(text: str) -> set[str]:
    """Return the names that have a value in the text of ``.env``."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only this command needs it

    return {
        binding.key for binding in parse_stream(StringIO(text)) if binding.key and binding.value
    }


def _with_values(text: str, values: Mapping[str, str]) -> str:
    """Return the lines of ``.env`` with these values; all other lines stay as they are."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only this command needs it

    left = dict(values)
    lines = []
    for binding in parse_stream(StringIO(text)):
        if binding.key not in values:
            lines.append(binding.original.string)
        elif binding.key in left:
            lines.append(f"{binding.key}={left.pop(binding.key)}\n")
    if lines and not lines[-1].endswith("\n"):
        lines.append("\n")
    return "".join([*lines, *(f"{name}={value}\n" for name, value in left.items())])


def _write(path: Path, text: str) -> None:
    """Replace the file atomically by one that other users cannot read at any moment."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise FatalError(
            f"cannot write {path}: {error.strerror}; the login is lost, run the command again"
        ) from error
