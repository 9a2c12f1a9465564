"""Copies of the project, each with a Python environment in which ``mastostream`` is the copy's.

A copy's environment takes all installed packages from the one that runs the campaign, and nothing
is installed again. It is an environment of its own, and not only a ``PYTHONPATH``, because tests
start processes that get no more than the environment variables they need.
"""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

__all__ = ["copy_prepared", "copy_project", "environment_folder"]

_NOT_COPIED = (".venv", ".pytest_cache", "tmp")


def environment_folder(project: Path) -> Path:
    """Return where a copy has its Python environment."""
    return project / ".venv"


def copy_project(root: Path, target: Path) -> None:
    """Copy what git tracks, as it is in the working tree, and make an environment."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=root).decode().split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    _make_environment(target)


def copy_prepared(prepared: Path, target: Path) -> None:
    """Copy a copy, with what its tools have cached, and make an environment."""
    shutil.copytree(prepared, target, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
    _make_environment(target)


def _make_environment(project: Path) -> None:
    """Make an environment; check that its processes import the copy, whatever they are given.

    Raises:
        RuntimeError: they import something else.
    """
    folder = environment_folder(project)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (project / "tmp").mkdir()
    packages = sysconfig.get_path("purelib")
    inner = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # Plain paths: the .pth files of the other environment are not read, and so neither is the one
    # that leads to its own mastostream.
    (Path(inner) / "campaign.pth").write_text(f"{project / 'src'}\n{packages}\n")
    _lend_scripts(Path(sys.prefix), folder)
    for command in (["bin/python", "-c", _WHERE], ["bin/python", "-I", "-c", _WHERE]):
        place = subprocess.check_output([folder / command[0], *command[1:]], env={}, text=True)
        if not place.startswith(f"{project / 'src'}/"):
            raise RuntimeError(f"the processes of {project} would import {place.strip()}")


_WHERE = "import mastostream; print(mastostream.__file__)"


def _lend_scripts(theirs: Path, ours: Path) -> None:
    """Give an environment another one's programs; those that are scripts run with its Python."""
    for program in (theirs / "bin").iterdir():
        target = ours / "bin" / program.name
        if target.exists() or target.is_symlink():
            continue
        with program.open("rb") as file:
            is_script = file.read(2) == b"#!"
        if is_script:
            text = program.read_text("utf-8").replace(f"{theirs}/", f"{ours}/")
            target.write_text(text, "utf-8")
            target.chmod(0o755)
        else:
            target.symlink_to(program)
