"""The examples do what they say."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mastostream import Post, decode
from mastostream.testing.simulator import generate_statuses

EXAMPLES = Path(__file__).parents[2] / "examples"
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for example in EXAMPLES.glob("*.py"):
        (tmp_path / example.name).write_bytes(example.read_bytes())
    (tmp_path / "statuses.jsonl").write_bytes(b"\n".join(generate_statuses(40)))
    return tmp_path


QUESTIONS = ("analyze", "--once", "--json", "--analysis", "own_analysis:QUESTIONS")


def test_an_analysis_post_by_post_and_one_of_windows(folder: Path) -> None:
    run(folder, "mastostream", "replay", "statuses.jsonl")
    asked = json.loads(run(folder, "mastostream", *QUESTIONS).stdout.splitlines()[-1])
    posts = [decode(line) for line in (folder / "statuses.jsonl").read_bytes().splitlines()]
    assert asked["outputs"] == sum("?" in each.content for each in posts if isinstance(each, Post))
    counted = run(
        folder,
        *("mastostream", "analyze", "--once", "--close-windows", "--json"),
        *("--mode", "sql", "--analysis", "windowed_analysis:BOTS"),
    )
    results = [json.loads(line) for line in counted.stdout.splitlines()]
    minutes = [result["record"] for result in results if result["kind"] == "result"]
    assert sum(minute["posts"] for minute in minutes) == 40


def test_the_first_analysis_finds_something_in_the_data_of_the_demo(folder: Path) -> None:
    run(folder, "mastostream", "demo", "--data", "mastostream-data", "--seconds", "6")
    asked = run(folder, "mastostream", *QUESTIONS, "--data", "mastostream-data")
    assert json.loads(asked.stdout.splitlines()[-1])["outputs"] > 0


@pytest.mark.parametrize(("arguments", "told"), [([], "required: file"), (["no"], "no file no")])
def test_a_script_without_its_file_says_so(folder: Path, arguments: list[str], told: str) -> None:
    command = [sys.executable, "library.py", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_functions_alone(folder: Path) -> None:
    assert len(run(folder, "python", "library.py", "statuses.jsonl").stdout.splitlines()) == 10


def test_a_naive_tool_is_shown_what_it_got_wrong(folder: Path) -> None:
    told = dict(
        line.split(maxsplit=1) if line.startswith("expected") else (line[:12].strip(), line[14:])
        for line in run(folder, "python", "simulated_servers.py").stdout.splitlines()
    )
    assert int(told["expected"]) > 20
    assert int(told["wrong counts"].split()[0]) > 0


def test_properties_of_ones_own_analysis(folder: Path) -> None:
    done = run(folder, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout


ON_SERVERS = ("producer", "elasticsearch_consumer", "hdfs_consumer", "kafka_analysis")
ALL_HELP = """if True:
    import contextlib, io, json, runpy, sys

    told = {}
    for path in sys.argv[1:]:
        sys.argv = [path, "--help"]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
            runpy.run_path(path, run_name="__main__")
        told[path] = out.getvalue()
    print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What each says when it is asked for help. One Python runs all: they import the same."""
    scripts = [str(EXAMPLES / f"{name}.py") for name in ON_SERVERS]
    texts: dict[str, str] = json.loads(run(EXAMPLES, "python", "-c", ALL_HELP, *scripts).stdout)
    return {Path(script).stem: text for script, text in texts.items()}


@pytest.mark.parametrize("name", ON_SERVERS)
def test_an_example_on_servers_is_short_and_says_how_it_is_run(
    told: dict[str, str], name: str
) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 60
    assert f"python {name}.py" in " ".join(told[name].split())
    assert "--kafka" in told[name]
    assert "--seconds" in told[name]
