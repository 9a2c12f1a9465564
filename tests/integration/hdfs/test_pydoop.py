"""HDFS through pydoop, which is built here first."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

import mastostream
from mastostream.services import HdfsServer
from mastostream.testing.servers import REQUIRE

pytestmark = pytest.mark.campaign

SCRIPTS = Path(__file__).parents[3] / "scripts"
SUITE = Path(__file__).with_name("pydoop_suite.py")
PATIENCE_S = 600.0


@attrs.frozen(kw_only=True)
class Pydoop:
    """An environment that has it."""

    python: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, cwd: Path, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            [self.python, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**self.environment, **more},
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def pydoop(tmp_path_factory: pytest.TempPathFactory) -> Pydoop:
    """Built as the documentation says, beside all that this environment has."""
    folder = tmp_path_factory.mktemp("pydoop")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True, timeout=PATIENCE_S)
    python, home = folder / "venv" / "bin" / "python", folder / "hadoop"
    build = (SCRIPTS / "install_pydoop.py", "--python", python, "--home", home)
    built = subprocess.run(
        [sys.executable, *build], check=False, capture_output=True, text=True, timeout=PATIENCE_S
    )
    if built.returncode:
        message = f"pydoop cannot be built here: {built.stderr[-2000:]}"
        if os.environ.get(REQUIRE):
            pytest.fail(message)
        pytest.skip(message)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    source = Path(mastostream.__file__).parents[1]
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "beside.pth").write_text("\n".join([*others, str(source)]))
    places = dict(word.split("=") for word in built.stdout.split() if "_HOME=" in word)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **places}
    return Pydoop(python=python, environment=environment)


def test_everything_that_the_archive_promises(
    pydoop: Pydoop, hdfs_server: HdfsServer, tmp_path: Path
) -> None:
    options = ("-q", "-p", "no:cacheprovider", "--timeout=300", f"--rootdir={SUITE.parents[3]}")
    url = {"MASTOSTREAM_TEST_HDFS": hdfs_server.url}
    told = pydoop.run("-m", "pytest", *options, str(SUITE), cwd=tmp_path, **url)
    assert "passed" in told
    assert "skipped" not in told


def test_the_commands_also_after_a_datanode_was_lost(
    pydoop: Pydoop, hdfs_server: HdfsServer, tmp_path: Path
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        program = ("-c", "from mastostream.cli import main; main()")
        backend = {"MASTOSTREAM_HDFS_BACKEND": "pydoop"}
        return pydoop.run(*program, *arguments, "--json", cwd=tmp_path, code=code, **backend)

    rest = b'"created_at":"2026-01-01T00:00:00Z","account":{"acct":"a"}'
    lines = b"".join(b'{"id":"%d",%b}\n' % (number, rest) for number in range(300))
    (tmp_path / "statuses.jsonl").write_bytes(lines)
    folder = f"{hdfs_server.url}/test-{uuid.uuid4().hex}"
    run("replay", "statuses.jsonl")
    hdfs_server.datanode.stop()
    try:
        told = run("archive", "--once", "--folder", folder, code=3)
        assert f"HDFS cannot serve {folder}" in told
    finally:
        hdfs_server.datanode.start()
    for arguments, name, count in (
        (("archive", "--once", "--rotate-records", "70", "--folder", folder), "archive", 300),
        (("archive", "compact", "--folder", folder), "merged", 5),
        (("archive", "verify", "--folder", folder), "problems", 0),
        (("replay", folder, "--data", "again"), "records", 300),
    ):
        assert json.loads(run(*arguments).splitlines()[-1])[name] == count
