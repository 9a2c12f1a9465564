"""The archives for Flink's Python workers."""

import importlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mastostream.engines.flink.python_bundle import (
    PythonBundle,
    bundle_name,
    check_bundle,
    own_modules,
    pack,
    write_modules,
)
from mastostream.exceptions import ConfigurationError, FatalError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules of a user: a single one, and a package with data."""
    (tmp_path / "alone_of_mine.py").write_text("import package_of_mine, rich\n")
    package = tmp_path / "package_of_mine"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__pycache__" / "x.pyc").write_bytes(b"")
    (package / ".hidden").write_text("")
    (package / "words.txt").write_text("one two")
    (package / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PythonBundle:
    """An archive of mastostream and what it needs, without other modules."""
    return pack(tmp_path_factory.mktemp("packed") / bundle_name(), [])


def names(file: Path) -> set[str]:
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def test_an_archive_holds_all_that_the_operators_import(
    packed: PythonBundle, tmp_path: Path
) -> None:
    """A Python without these packages can import them from there. Nothing of Flink is in it."""
    file = packed.file
    check_bundle(file)
    assert packed.modules == ("mastostream",)
    assert {name.partition(" ")[0] for name in packed.distributions} == {
        *("attrs", "cattrs", "msgspec", "typing_extensions")
    }
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(unpacked)
    code = (
        "from mastostream.core.codec import decode; import mastostream.engines.per_post, sys;"
        "decode(b'{}'); print(sys.modules['msgspec'].__file__)"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path[:0] = [{str(unpacked)!r}]; {code}",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(str(unpacked))
    before = file.read_bytes()
    pack(file, [])
    assert file.read_bytes() == before


def test_ones_own_modules_bring_what_they_import(folder: Path) -> None:
    packed = pack(folder / "it.zip", ["alone_of_mine"])
    assert packed.modules == ("alone_of_mine", "mastostream", "package_of_mine")
    assert any(distribution.startswith("rich ") for distribution in packed.distributions)
    entries = names(folder / "it.zip")
    assert {"rich/__init__.py", "pygments/__init__.py"} <= entries
    assert {"alone_of_mine.py", "package_of_mine/words.txt"} <= entries
    assert not any("hidden" in name or "pyc" in name for name in entries)


def test_a_module_that_cannot_be_imported_is_told(folder: Path) -> None:
    (folder / "broken_of_mine.py").write_text("1 / 0")
    with pytest.raises(ConfigurationError, match="broken_of_mine: ZeroDivisionError"):
        pack(folder / "it.zip", ["broken_of_mine"])
    with pytest.raises(ConfigurationError, match="No module named 'missing_of_mine'"):
        pack(folder / "it.zip", ["missing_of_mine"])
    with pytest.raises(FatalError, match="cannot write"):
        pack(folder / "nowhere" / "it.zip", [])


def test_modules_travel_that_were_imported_from_the_folder(folder: Path) -> None:
    importlib.import_module("alone_of_mine")
    try:
        modules = own_modules(folder)
        assert set(modules) == {"alone_of_mine", "package_of_mine"}
        write_modules(folder / "own.zip", modules)
    finally:
        for name in ("alone_of_mine", "package_of_mine"):
            sys.modules.pop(name)
    assert names(folder / "own.zip") == {
        *("alone_of_mine.py", "package_of_mine/__init__.py", "package_of_mine/words.txt")
    }
    assert own_modules(folder) == {}


@pytest.mark.parametrize("text", [None, "no zip", "{}", '{"version": "0.0.1"}'])
def test_another_file_is_no_archive(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "it.zip"
    if text == "no zip":
        file.write_text(text)
    elif text is not None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("mastostream-archive.json", text)
    with pytest.raises(ConfigurationError, match="make it with 'mastostream flink package'"):
        check_bundle(file)


def test_the_manifest_names_what_is_inside(packed: PythonBundle) -> None:
    with zipfile.ZipFile(packed.file) as archive:
        manifest = json.loads(archive.read("mastostream-archive.json"))
    assert any(distribution.startswith("msgspec ") for distribution in manifest["distributions"])
