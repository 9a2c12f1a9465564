"""Python code in archives, which Flink unpacks where its Python workers find it.

One holds this package with all that its operators import, for TaskManagers that have only Python
and apache-flink. Another travels with each job: the user's own modules.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import attrs

from mastostream.exceptions import ConfigurationError, FatalError

__all__ = [
    "PythonBundle",
    "bundle_name",
    "check_bundle",
    "own_modules",
    "pack",
    "write_modules",
]

_PACKAGE: Final = "mastostream"
_NEEDED: Final = ("attr", "attrs", "cattrs", "msgspec", _PACKAGE)
"""What the operators import, of that which apache-flink does not bring in the same versions."""

_BROUGHT: Final = "apache-flink"
_MANIFEST: Final = "mastostream-archive.json"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_MOMENT: Final = (1980, 1, 1, 0, 0, 0)
_LOOK: Final = """\
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"{name}: {type(error).__name__}: {error}")
found = {}
for name in {each.partition(".")[0] for each in set(sys.modules) - before}:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name not in sys.stdlib_module_names and (paths := list(getattr(module, "__path__", ()))):
        found[name] = paths
    elif name not in sys.stdlib_module_names and file:
        found[name] = [file]
print(json.dumps(found))
"""
"""What is imported by these names, and where it is, in a process that has nothing else."""


@attrs.frozen(kw_only=True)
class PythonBundle:
    """What an archive holds.

    Attributes:
        file: the archive.
        size_bytes: of it.
        modules: top-level modules and packages that are no distribution's, this one among them.
        distributions: names with versions.
    """

    file: Path
    size_bytes: int
    modules: tuple[str, ...]
    distributions: tuple[str, ...]


def bundle_name() -> str:
    """Return the usual name: with our version, and with the only Python and system it suits."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    system = re.sub(r"[^A-Za-z0-9]", "_", sysconfig.get_platform())
    return f"{_PACKAGE}-{metadata.version(_PACKAGE)}-{python}-{system}.zip"


def pack(file: Path, modules: Sequence[str]) -> PythonBundle:
    """Write an archive of this package, of these modules, and of all that they import.

    Left out is what comes with apache-flink, unless this package itself needs it.

    Args:
        file: is replaced where it is there.
        modules: of the current folder, or installed.

    Raises:
        ConfigurationError: a module cannot be imported.
        FatalError: the file cannot be written.
    """
    imported = _imported([*_NEEDED, *modules])
    tops = metadata.packages_distributions()
    wanted = _closure(name for top in _NEEDED if top != _PACKAGE for name in tops.get(top, ()))
    brought = _closure([_BROUGHT])
    theirs = {name for top in imported if top != _PACKAGE for name in tops.get(top, ())}
    wanted |= _closure(theirs - brought) - brought
    entries: dict[str, Path] = {}
    found: dict[str, Sequence[str]] = {}
    for name in sorted(wanted):
        entries |= dict(_installed(metadata.distribution(name)))
    held = {entry.partition("/")[0] for entry in entries}
    for top, paths in imported.items():
        owners = set(tops.get(top, ()))
        left_out = owners and not owners & wanted and top != _PACKAGE
        if {top, f"{top}.py"}.isdisjoint(held) and not left_out:
            found[top] = paths
            entries |= dict(_tree(top, map(Path, paths)))
    versions = tuple(f"{name} {metadata.version(name)}" for name in sorted(wanted))
    manifest = {"version": metadata.version(_PACKAGE), "distributions": versions}
    _write(file, entries, {_MANIFEST: json.dumps(manifest)})
    return PythonBundle(
        file=file,
        size_bytes=file.stat().st_size,
        modules=tuple(sorted(found)),
        distributions=versions,
    )


def check_bundle(file: Path) -> None:
    """See that a file is what :func:`pack` writes, by this version.

    Raises:
        ConfigurationError: it is not, or is not there.
    """
    again = "make it with 'mastostream flink package'"
    try:
        with zipfile.ZipFile(file) as archive:
            version = json.loads(archive.read(_MANIFEST))["version"]
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {file}: {again}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{file} is no archive of mastostream: {again}") from error
    if version != metadata.version(_PACKAGE):
        raise ConfigurationError(
            f"{file} is of mastostream {version}, and here is {metadata.version(_PACKAGE)}: {again}"
        )


def own_modules(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the modules and packages that were imported from this folder, with their places."""
    folder = folder.resolve()
    found = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__":
            continue
        paths = tuple(map(Path, getattr(module, "__path__", ())))
        file = getattr(module, "__file__", None)
        places = paths or ((Path(file),) if file else ())
        if any(place.resolve().parent == folder for place in places):
            found[name] = places
    return found


def write_modules(file: Path, modules: Mapping[str, Iterable[Path]]) -> None:
    """Write an archive of these modules, as :func:`own_modules` returns them.

    Raises:
        FatalError: it cannot be written.
    """
    entries: dict[str, Path] = {}
    for name, places in modules.items():
        entries |= dict(_tree(name, places))
    _write(file, entries, {})


def _imported(names: Sequence[str]) -> dict[str, list[str]]:
    """Return all top-level modules that are loaded with these, by name, with their places."""
    done = subprocess.run(  # noqa: S603 - this Python, and names
        [sys.executable, "-c", _LOOK, *names], check=False, capture_output=True, text=True
    )
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        raise ConfigurationError(f"cannot package what cannot be imported: {told}")
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def _closure(names: Iterable[str]) -> set[str]:
    """Return these distributions with all that they require, as far as it is installed here."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        try:
            distribution = metadata.distribution(waiting.pop())
        except metadata.PackageNotFoundError:  # required of other systems, or by an extra
            continue
        name = distribution.metadata["Name"]
        if name not in found:
            found[name] = distribution
            for line in distribution.requires or ():
                required = _NAME.match(line)
                if required and "extra ==" not in line:
                    waiting.append(required[0])
    return set(found)


def _installed(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the files of a distribution, without scripts and what Python compiled."""
    for entry in distribution.files or ():
        if entry.parts[0] != ".." and "__pycache__" not in entry.parts:
            place = Path(str(distribution.locate_file(entry)))
            if place.is_file():
                yield entry.as_posix(), place


def _tree(name: str, places: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the files of one module or package."""
    for place in places:
        if place.is_file():
            yield place.name, place
        for folder, folders, files in os.walk(place):
            folders[:] = [each for each in folders if each[0] != "." and each != "__pycache__"]
            for each in files:
                path = Path(folder, each)
                if each[0] != ".":
                    yield f"{name}/{path.relative_to(place).as_posix()}", path


def _write(file: Path, entries: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """Write a file with these entries, the same bytes for the same ones, wholly or not at all."""
    try:
        handle, part = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with (
                os.fdopen(handle, "wb") as target,
                zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
            ):
                for name, path in sorted(entries.items()):
                    archive.writestr(_entry(name), path.read_bytes())
                for name, text in texts.items():
                    archive.writestr(_entry(name), text)
            Path(part).chmod(0o644)
            Path(part).replace(file)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise FatalError(f"cannot write {file}: {error.strerror}") from error


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
