"""Packs Python code into archives, which Flink unpacks for its Python workers.

One kind has this package and all that its operators import, for TaskManagers that have only Python
and apache-flink. The other kind has the user's own modules; each job brings it along.
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
"""Packages that the operators import, and that apache-flink does not bring in the same versions."""

_FLINK: Final = "apache-flink"
_MANIFEST: Final = "mastostream-archive.json"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_ENTRY_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The time of all entries, the earliest in a zip file: the same code gives the same bytes."""

_LIST_IMPORTS: Final = """\
import importlib, json, sys
before = set(sys.modules)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as error:
        sys.exit(f"{name}: {type(error).__name__}: {error}")
places = {}
for name in {module.partition(".")[0] for module in set(sys.modules) - before}:
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name not in sys.stdlib_module_names and (paths := list(getattr(module, "__path__", ()))):
        places[name] = paths
    elif name not in sys.stdlib_module_names and file:
        places[name] = [file]
print(json.dumps(places))
"""
"""A program for a new process. It imports the modules that its arguments name, and prints all
top-level modules that this loads, except the standard library, as JSON: names with places."""


@attrs.frozen(kw_only=True)
class PythonBundle:
    """The content of an archive.

    Attributes:
        file: the archive.
        size_bytes: the size of the file.
        modules: top-level modules and packages that belong to no packed distribution; this package
            is among them.
        distributions: the packed distributions, each as its name and its version: ``attrs 25.1.0``.
    """

    file: Path
    size_bytes: int
    modules: tuple[str, ...]
    distributions: tuple[str, ...]


def bundle_name() -> str:
    """Return the usual name of an archive.

    It has the version of this package, and the one version of Python and the one system that the
    archive is for.
    """
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    system = re.sub(r"[^A-Za-z0-9]", "_", sysconfig.get_platform())
    return f"{_PACKAGE}-{metadata.version(_PACKAGE)}-{python}-{system}.zip"


def pack(file: Path, modules: Sequence[str]) -> PythonBundle:
    """Write an archive of this package, of these modules, and of all that they import.

    Distributions that come with apache-flink are left out, unless this package itself needs them.

    Args:
        file: the archive; an existing file is replaced.
        modules: names of modules that are installed, or in the current folder.

    Raises:
        ConfigurationError: a module cannot be imported.
        FatalError: the file cannot be written.
    """
    imported = _imported([*_NEEDED, *modules])
    tops = metadata.packages_distributions()
    wanted = _closure(name for top in _NEEDED if top != _PACKAGE for name in tops.get(top, ()))
    with_flink = _closure([_FLINK])
    owning = {name for top in imported if top != _PACKAGE for name in tops.get(top, ())}
    wanted |= _closure(owning - with_flink) - with_flink
    entries: dict[str, Path] = {}
    own: dict[str, Sequence[str]] = {}
    for name in sorted(wanted):
        entries |= dict(_installed(metadata.distribution(name)))
    packed = {entry.partition("/")[0] for entry in entries}
    for top, paths in imported.items():
        owners = set(tops.get(top, ()))
        left_out = owners and not owners & wanted and top != _PACKAGE
        if {top, f"{top}.py"}.isdisjoint(packed) and not left_out:
            own[top] = paths
            entries |= dict(_tree(top, map(Path, paths)))
    versions = tuple(f"{name} {metadata.version(name)}" for name in sorted(wanted))
    manifest = {"version": metadata.version(_PACKAGE), "distributions": versions}
    _write(file, entries, {_MANIFEST: json.dumps(manifest)})
    return PythonBundle(
        file=file,
        size_bytes=file.stat().st_size,
        modules=tuple(sorted(own)),
        distributions=versions,
    )


def check_bundle(file: Path) -> None:
    """Check that a file is an archive that :func:`pack` of this version has written.

    Raises:
        ConfigurationError: it is not, or there is no such file.
    """
    hint = "make it with 'mastostream flink package'"
    try:
        with zipfile.ZipFile(file) as archive:
            version = json.loads(archive.read(_MANIFEST))["version"]
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {file}: {hint}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{file} is no archive of mastostream: {hint}") from error
    if version != metadata.version(_PACKAGE):
        raise ConfigurationError(
            f"{file} is of mastostream {version}, and here is {metadata.version(_PACKAGE)}: {hint}"
        )


def own_modules(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the modules and packages that this process has imported from a folder.

    Returns:
        The files and folders of each, by its top-level name.
    """
    folder = folder.resolve()
    modules = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__":
            continue
        paths = tuple(map(Path, getattr(module, "__path__", ())))
        file = getattr(module, "__file__", None)
        places = paths or ((Path(file),) if file else ())
        if any(place.resolve().parent == folder for place in places):
            modules[name] = places
    return modules


def write_modules(file: Path, modules: Mapping[str, Iterable[Path]]) -> None:
    """Write an archive of these modules, as :func:`own_modules` returns them.

    Raises:
        FatalError: the file cannot be written.
    """
    entries: dict[str, Path] = {}
    for name, places in modules.items():
        entries |= dict(_tree(name, places))
    _write(file, entries, {})


def _imported(names: Sequence[str]) -> dict[str, list[str]]:
    """Import modules in a new process; return the places of all top-level modules it loads."""
    done = subprocess.run(  # noqa: S603 - this Python, and names of modules
        [sys.executable, "-c", _LIST_IMPORTS, *names], check=False, capture_output=True, text=True
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        raise ConfigurationError(f"cannot package what cannot be imported: {reason}")
    places: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return places


def _closure(names: Iterable[str]) -> set[str]:
    """Return these distributions, and all installed ones that they require."""
    distributions: dict[str, metadata.Distribution] = {}
    waiting = list(names)
    while waiting:
        try:
            distribution = metadata.distribution(waiting.pop())
        except metadata.PackageNotFoundError:  # required on other systems, or by an extra
            continue
        name = distribution.metadata["Name"]
        if name not in distributions:
            distributions[name] = distribution
            for line in distribution.requires or ():
                required = _NAME.match(line)
                if required and "extra ==" not in line:
                    waiting.append(required[0])
    return set(distributions)


def _installed(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of a distribution's files, without scripts and compiled Python."""
    for entry in distribution.files or ():
        if entry.parts[0] != ".." and "__pycache__" not in entry.parts:
            place = Path(str(distribution.locate_file(entry)))
            if place.is_file():
                yield entry.as_posix(), place


def _tree(name: str, places: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of the files of one module or package, without hidden ones."""
    for place in places:
        if place.is_file():
            yield place.name, place
        for folder, folders, files in os.walk(place):
            folders[:] = [sub for sub in folders if sub[0] != "." and sub != "__pycache__"]
            for file in files:
                path = Path(folder, file)
                if file[0] != ".":
                    yield f"{name}/{path.relative_to(place).as_posix()}", path


def _write(file: Path, entries: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """Write an archive, as a whole or not at all. The same entries give the same bytes."""
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
    info = zipfile.ZipInfo(name, _ENTRY_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
