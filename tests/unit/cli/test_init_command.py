"""The files to begin with."""

from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from mastostream.cli.main import cli
from mastostream.config import CONFIG_FILE, Settings, load_credentials, load_settings


def test_the_settings_file_holds_every_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["init"]).exit_code == 0
    assert load_settings(environ={}) == attrs.evolve(Settings(), tags=("news",))
    text = Path(CONFIG_FILE).read_text()
    names = [field.name for field in attrs.fields(Settings)]
    for table in attrs.asdict(Settings()).values():
        names += list(table) if isinstance(table, dict) else []
    assert [name for name in names if name not in text] == []


def test_the_credentials_file_holds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(cli, ["init"])
    assert set(attrs.astuple(load_credentials(environ={}))) == {None}
