"""``mastostream simulate``: what it starts, and what it says."""

import json
import socket

from click.testing import CliRunner

from mastostream.cli.main import cli


def simulate(*arguments: str) -> str:
    done = CliRunner().invoke(
        cli, ["simulate", "--port", "0", "--seconds", "0.05", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_each_server_is_told_to_people_and_to_programs() -> None:
    told = simulate("--servers", "3", "--family", "mixed", "--speed", "20", "--faults", "all")
    lines = told.splitlines()
    assert [line.split()[-2:] for line in lines[:3]] == [
        ["one.example,", "mastodon"],
        ["two.example,", "mastodon"],
        ["three.example,", "gotosocial"],
    ]
    assert "20 seconds pass there in one second" in told
    assert lines[-1].count("--server http://127.0.0.1:") == 3
    found = [json.loads(line) for line in simulate("--servers", "2", "--json").splitlines()]
    assert [(one["kind"], one["host"]) for one in found] == [
        ("listening", "one.example"),
        ("listening", "two.example"),
    ]


def test_one_server_is_alone_in_the_world() -> None:
    assert "social.example, mastodon" in simulate()
    assert "social.example, gotosocial" in simulate("--family", "gotosocial", "--late", "0.5")


def test_servers_listen_on_ports_that_follow_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = min(free.getsockname()[1], 65_000) // 4 * 4 + 1
    told = simulate("--servers", "3", "--port", str(port), "--json")
    urls = [json.loads(line)["url"] for line in told.splitlines()]
    assert urls == [f"http://127.0.0.1:{port + number}" for number in range(3)]


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(cli, ["simulate", "--port", port, "--seconds", "1"])
    assert done.exit_code != 0
    assert port in str(done.exception) + done.output


def test_a_fault_is_called_by_its_name() -> None:
    done = CliRunner().invoke(cli, ["simulate", "--faults", "earthquake"])
    assert done.exit_code == 2
    assert "silent_streams" in done.output
