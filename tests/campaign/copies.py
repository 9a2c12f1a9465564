"""Copies of the project, each with a Python environment that imports the copy's ``mastostream``.

A copy's environment uses the packages of the environment that runs the campaign; nothing is
installed again. ``PYTHONPATH`` alone would not do, because tests start processes with only those
environment variables that they need.
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
    """Return the folder of a copy's Python environment."""
    return project / ".venv"


def copy_project(root: Path, target: Path) -> None:
    """Copy the working tree without ignored files, and make an environment for the copy."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=root).decode().split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    _make_environment(target)


def copy_prepared(prepared: Path, target: Path) -> None:
    """Copy a copy together with the caches of its tools, and make an environment for it."""
    shutil.copytree(prepared, target, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
    _make_environment(target)


def _make_environment(project: Path) -> None:
    """Make an environment, and check that its processes import the copy without any variables.

    Raises:
        RuntimeError: they import another ``mastostream``.
    """
    folder = environment_folder(project)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    (project / "tmp").mkdir()
    packages = sysconfig.get_path("purelib")
    inner = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # A .pth file has plain paths only: the .pth files of the other environment are not read, so
    # the one that leads to its mastostream has no effect.
    (Path(inner) / "campaign.pth").write_text(f"{project / 'src'}\n{packages}\n")
    _link_programs(Path(sys.prefix), folder)
    for command in (["bin/python", "-c", _WHERE], ["bin/python", "-I", "-c", _WHERE]):
        place = subprocess.check_output([folder / command[0], *command[1:]], env={}, text=True)
        if not place.startswith(f"{project / 'src'}/"):
            raise RuntimeError(f"the processes of {project} would import {place.strip()}")


_WHERE = "import mastostream; print(mastostream.__file__)"


def _link_programs(source: Path, target_folder: Path) -> None:
    """Link the programs of one environment into another; scripts are rewritten to its Python."""
    for program in (source / "bin").iterdir():
        target = target_folder / "bin" / program.name
        if target.exists() or target.is_symlink():
            continue
        with program.open("rb") as file:
            is_script = file.read(2) == b"#!"
        if is_script:
            text = program.read_text("utf-8").replace(f"{source}/", f"{target_folder}/")
            target.write_text(text, "utf-8")
            target.chmod(0o755)
        else:
            target.symlink_to(program)
