"""Which Java is chosen, and the message if none can be used."""

from pathlib import Path

import pytest

from mastostream.exceptions import ConfigurationError
from mastostream.services import find_java

JAVA_OUTPUT = {
    8: 'java version "1.8.0_392"',
    11: 'openjdk version "11.0.25" 2024-10-15',
    17: 'openjdk version "17.0.15" 2025-04-15',
    21: 'openjdk version "21-ea" 2023-09-19',
}


def fake_java(folder: Path, output: str, code: int = 0) -> Path:
    """Write a program that prints the output of ``java -version`` to standard error."""
    folder.mkdir(parents=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{output}\nEND\nexit {code}\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize("version", [17, 21])
def test_a_java_on_the_path_is_found(tmp_path: Path, version: int) -> None:
    java = fake_java(tmp_path / "bin", JAVA_OUTPUT[version])
    chosen = find_java({"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    assert (chosen.executable, chosen.version, chosen.home) == (java, version, tmp_path)


def test_java_home_comes_before_the_path(tmp_path: Path) -> None:
    fake_java(tmp_path / "path", JAVA_OUTPUT[21])
    fake_java(tmp_path / "home" / "bin", JAVA_OUTPUT[17])
    environ = {"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'path'}:/usr/bin:/bin"}
    assert find_java(environ).version == 17


def test_a_java_home_that_is_too_old_does_not_hide_a_good_one(tmp_path: Path) -> None:
    fake_java(tmp_path / "path", JAVA_OUTPUT[17])
    fake_java(tmp_path / "home" / "bin", JAVA_OUTPUT[8])
    environ = {"JAVA_HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'path'}:/usr/bin:/bin"}
    assert find_java(environ).version == 17


def test_the_home_is_what_java_says(tmp_path: Path) -> None:
    """The launcher of a version manager is in another folder than the Java that it starts."""
    output = f"Picked up JAVA_TOOL_OPTIONS: -Dx\n    java.home = /opt/java 17\n{JAVA_OUTPUT[17]}"
    fake_java(tmp_path / "bin", output)
    java = find_java({"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
    assert java.home == Path("/opt/java 17")


@pytest.mark.parametrize("version", [8, 11])
def test_one_that_is_too_old_is_named(tmp_path: Path, version: int) -> None:
    java = fake_java(tmp_path / "bin", JAVA_OUTPUT[version])
    with pytest.raises(ConfigurationError, match=f"{java} is Java {version}.*install Java 17"):
        find_java({"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})


def test_without_any_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"JAVA_HOME is not set.*install Java 17"):
        find_java({"PATH": str(tmp_path)})


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    environ = {"JAVA_HOME": str(tmp_path / "gone"), "PATH": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="gone/bin/java cannot be run: No such file"):
        find_java(environ)


def test_a_program_that_fails_is_no_java(tmp_path: Path) -> None:
    fake_java(tmp_path / "bin", JAVA_OUTPUT[17], code=1)
    with pytest.raises(ConfigurationError, match="does not tell its version"):
        find_java({"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"})
