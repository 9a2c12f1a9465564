"""``mastostream kibana``: as a person or a program uses it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.unit.dashboards.kibana.kibana_server import KEY, KibanaServer, kibana_server

from mastostream.cli.main import cli
from mastostream.dashboards.kibana import LIVE, lint, saved_objects
from mastostream.exceptions import (
    ConfigurationError,
    FatalError,
    MastostreamError,
    RetriableError,
)

BIN = Path(sys.executable).parent / "mastostream"
COUNT = len(saved_objects(LIVE))


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server() -> Iterator[KibanaServer]:
    with kibana_server() as running:
        yield running


@pytest.fixture
def opened(browser: Any) -> list[str]:
    addresses: list[str] = []

    def opens(url: str) -> bool:
        addresses.append(url)
        return True

    browser.opens = opens
    return addresses


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["kibana", *arguments])


def lines(done: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# export


def test_export_writes_a_file_that_kibana_can_import(tmp_path: Path) -> None:
    done = run("export", "live.ndjson")
    assert done.exit_code == 0
    assert done.stdout == f"{COUNT} saved objects are in live.ndjson\n"
    objects = [json.loads(line) for line in (tmp_path / "live.ndjson").read_text().splitlines()]
    assert lint(objects) == ()
    assert objects == list(saved_objects(LIVE))


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_export_to_standard_output_is_the_file_and_nothing_else(flags: tuple[str, ...]) -> None:
    done = run("export", "-", *flags)
    assert [json.loads(line) for line in done.stdout.splitlines()] == list(saved_objects(LIVE))


def test_export_is_for_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(saved_objects(LIVE, "news"))
    assert lines(run("export", "-", "--space", "news")) == expected
    monkeypatch.setenv("MASTOSTREAM_KIBANA_SPACE", "news")
    assert lines(run("export", "-")) == expected


def test_export_is_for_the_indices_of_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTOSTREAM_ELASTICSEARCH_INDEX_PREFIX", "team-a-")
    assert lines(run("export", "-")) == list(saved_objects(LIVE, "", "team-a-"))
    both = saved_objects(LIVE, "news", "team-a-")
    assert lines(run("export", "-", "--space", "news")) == list(both)


def test_export_tells_a_program_what_it_did() -> None:
    done = run("export", "live.ndjson", "--json")
    assert lines(done) == [{"kind": "file", "name": "live.ndjson", "objects": COUNT}]


def test_export_says_where_it_cannot_write() -> None:
    error = run("export", "nowhere/live.ndjson").exception
    assert isinstance(error, FatalError)
    assert str(error) == "cannot write nowhere/live.ndjson: No such file or directory"


# import


def test_import_says_where_to_look(server: KibanaServer) -> None:
    done = run("import", "--url", server.url)
    assert done.exit_code == 0, done.exception
    assert f"{COUNT} saved objects imported" in done.stdout
    assert f"{server.url}/app/dashboards#/view/mastodon-live" in done.stdout
    assert len(server.objects) == COUNT


def test_import_again_changes_nothing_and_says_how_to(server: KibanaServer) -> None:
    run("import", "--url", server.url)
    for flags in ((), ("--no-overwrite",)):
        done = run("import", "--url", server.url, *flags)
        assert isinstance(done.exception, FatalError)
        assert str(done.exception) == (
            f"0 of {COUNT} saved objects were imported; --overwrite replaces what is there"
        )
        assert "dashboard mastodon-live: it is there already" in done.stdout
    assert run("import", "--url", server.url, "--overwrite").exit_code == 0


def test_import_names_each_object_that_failed(server: KibanaServer) -> None:
    server.broken["lens", "mastodon-live-volume"] = "no \x1b[31mgood\u202e"
    done = run("import", "--url", server.url)
    assert isinstance(done.exception, FatalError)
    assert str(done.exception) == f"{COUNT - 1} of {COUNT} saved objects were imported: see above"
    assert done.stdout == "lens mastodon-live-volume: no [31mgood\n"
    again = run("import", "--url", server.url, "--overwrite", "--json")
    assert [line["kind"] for line in lines(again)] == ["failure", "import"]
    assert lines(again)[1]["ok"] is False


def test_import_tells_a_program_what_it_did(server: KibanaServer) -> None:
    (line,) = lines(run("import", "--url", server.url, "--json"))
    assert line == {
        "kind": "import",
        "ok": True,
        "imported": COUNT,
        "url": f"{server.url}/app/dashboards#/view/mastodon-live",
    }


def test_import_takes_address_space_and_credentials_from_their_places(
    server: KibanaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.secured = True
    server.spaces.add("news")
    (tmp_path / "mastostream.toml").write_text(f'[kibana]\nurl = "{server.url}"\nspace = "news"\n')
    (tmp_path / ".env").write_text(f"ELASTICSEARCH_API_KEY={KEY}\n")
    done = run("import")
    assert done.exit_code == 0, done.exception
    assert f"{server.url}/s/news/app/dashboards#/view/mastodon-live-news" in done.stdout
    assert KEY not in done.output
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "wr0ng")
    refused = run("import", "--overwrite")
    assert isinstance(refused.exception, ConfigurationError)
    assert "wr0ng" not in refused.output + str(refused.exception)


@pytest.mark.parametrize(
    ("break_it", "kind", "message"),
    [
        (lambda s: setattr(s, "secured", True), ConfigurationError, "asks who you are (401)"),
        (lambda s: setattr(s, "may_import", False), FatalError, "forbids it (403"),
        (lambda s: setattr(s, "version", "7.17.9"), FatalError, "is 7.17.9"),
        (
            lambda s: s.answers.update({"/api/status": (503, b"", {})}),
            RetriableError,
            "is not ready (503): it is starting",
        ),
    ],
)
def test_a_kibana_that_refuses_gets_one_sentence(
    server: KibanaServer, break_it: object, kind: type[MastostreamError], message: str
) -> None:
    assert callable(break_it)
    break_it(server)
    error = run("import", "--url", server.url).exception
    assert isinstance(error, kind)
    assert message in str(error)
    assert server.objects == {}


def test_a_space_that_is_not_there_gets_one_sentence(server: KibanaServer) -> None:
    error = run("import", "--url", server.url, "--space", "nowhere").exception
    assert isinstance(error, ConfigurationError)
    assert "has no space 'nowhere'" in str(error)


def test_a_kibana_that_is_not_there_gets_one_sentence_and_an_exit_code(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    really = subprocess.run(
        [BIN, "kibana", "import", "--url", "http://127.0.0.1:1"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    for done in (really, command(tmp_path, "kibana", "open", "--url", "http://127.0.0.1:1")):
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr == (
            "mastostream: Kibana at http://127.0.0.1:1 cannot be reached: nothing listens there: "
            "start it, or check kibana.url\n"
        )


# open


def test_open_shows_the_address_and_opens_it(server: KibanaServer, opened: list[str]) -> None:
    address = f"{server.url}/app/dashboards#/view/mastodon-live"
    done = run("open", "--url", server.url)
    assert done.stdout == f"{address}\n"
    assert opened == [address]


def test_open_without_a_browser_shows_the_address(server: KibanaServer, opened: list[str]) -> None:
    done = run("open", "--url", server.url, "--space", "news", "--no-browser")
    assert done.stdout == f"{server.url}/s/news/app/dashboards#/view/mastodon-live-news\n"
    assert opened == []


def test_open_tells_a_program_the_address(server: KibanaServer, opened: list[str]) -> None:
    (line,) = lines(run("open", "--url", server.url, "--json", "--no-browser"))
    assert line == {"kind": "open", "url": f"{server.url}/app/dashboards#/view/mastodon-live"}


def test_open_needs_no_credentials(server: KibanaServer, opened: list[str]) -> None:
    """The browser logs in by itself."""
    server.secured = True
    assert run("open", "--url", server.url).exit_code == 0
    assert len(opened) == 1


@pytest.mark.parametrize("broken", [False, True])
def test_open_says_that_there_is_no_browser(
    server: KibanaServer, browser: Any, broken: bool
) -> None:
    browser.is_there = not broken
    browser.opens = lambda _: False
    done = run("open", "--url", server.url)
    assert done.exit_code == 0
    assert "open the address anywhere" in done.stderr


def test_open_opens_nothing_where_no_kibana_is(opened: list[str]) -> None:
    assert isinstance(run("open", "--url", "http://127.0.0.1:1").exception, RetriableError)
    assert opened == []
