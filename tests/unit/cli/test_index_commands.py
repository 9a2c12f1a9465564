"""The command that fills the index."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mastostream.services import free_port

Command = Callable[..., Any]
BIN = Path(sys.executable).parent / "mastostream"


def mastostream(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN, *arguments], check=False, capture_output=True, text=True, cwd=folder, env=environ
    )


def test_it_says_where_the_index_is(command: Command, tmp_path: Path) -> None:
    for arguments in (["--once"], ["--setup"], ["--seconds", "0.1"]):
        done = command(tmp_path, "index", *arguments)
        assert done.returncode == 0, done.stderr
        assert "The index is in mastostream-data/mastostream.sqlite3" in done.stdout
    done = command(tmp_path, "index", "--setup", "--json")
    assert json.loads(done.stdout)["place"] == "mastostream-data/mastostream.sqlite3"


def test_a_server_that_is_not_there_is_told_with_what_to_do(
    command: Command, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for arguments in (["--once"], ["--setup"]):
        done = command(
            tmp_path,
            *("index", "--index", "elasticsearch", *arguments),
            MASTOSTREAM_ELASTICSEARCH_HOSTS=url,
        )
        assert done.returncode == 3
        assert f"cannot reach Elasticsearch at {url}" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_password_in_a_url_is_refused_and_not_shown(tmp_path: Path) -> None:
    done = mastostream(
        tmp_path,
        *("index", "--index", "elasticsearch", "--once", "-vv"),
        MASTOSTREAM_ELASTICSEARCH_HOSTS="https://elastic:hunter2secret@localhost:9200",
    )
    assert done.returncode == 2
    assert "ELASTICSEARCH_PASSWORD" in done.stderr
    assert "hunter2secret" not in done.stdout + done.stderr
