"""All that there is to run: ``nox -s quick tests campaign lint typing bench docs build``."""

import os
import shutil
from pathlib import Path

import nox
import uv

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["quick"]
nox.options.error_on_missing_interpreters = False  # it names those that it skips
for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):  # the latter makes each start compile all
    os.environ.pop(name, None)
UV = uv.find_uv_bin()
CLIENTS = ("kafka", "elasticsearch", "hdfs", "services")
"""The extras that the adapters of the real servers need; Python alone is enough to install them."""


def sync(session: nox.Session, *groups: str, extras: tuple[str, ...] = ()) -> None:
    """Install the locked versions of what these groups need."""
    session.run_install(
        UV,
        "sync",
        "--locked",
        "--no-default-groups",
        *(f"--group={group}" for group in groups),
        *(f"--extra={extra}" for extra in extras),
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        external=True,
        silent=True,
    )


def check(session: nox.Session) -> None:
    """Style, the order of the rooms, and types."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("mypy")


@nox.session
def quick(session: nox.Session) -> None:
    """What a person runs while working: lint, import contracts, types, unit tests."""
    sync(session, "lint", "typing", "test", extras=CLIENTS)
    check(session)
    session.run("pytest", "--numprocesses=3", "--dist=worksteal", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """``quick``, then the pipeline end to end, on real servers where Java 17 is.

    Servers start while the unit tests run, which come first.
    """
    sync(session, "lint", "typing", "integration", extras=(*CLIENTS, "flink"))
    check(session)
    chosen = ("tests/unit", "tests/integration", "-m", "not campaign", "--durations=20")
    together = ("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder")
    session.run("pytest", *chosen, *together, *session.posargs)


@nox.session
def campaign(session: nox.Session) -> None:
    """Everything, for hours, or a part of it (``-- kafka``); ends with a table of what ran."""
    sync(session, "lint", "typing", "integration", "bench", "campaign", extras=(*CLIENTS, "flink"))
    session.run("python", "-m", "tests.campaign", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the order of the rooms."""
    sync(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Types, strictly."""
    sync(session, "typing", extras=CLIENTS)
    session.run("mypy")


@nox.session
def lowest(session: nox.Session) -> None:
    """Unit tests with the lowest versions that are allowed."""
    package = f".[{','.join(CLIENTS)}]"
    session.install("--resolution=lowest-direct", "--group=test", "-e", package)
    session.run("pytest", "--numprocesses=3", "--dist=worksteal", *session.posargs)


def newest(session: nox.Session) -> None:
    """Unit tests, with the newest versions on one Python; where that is missing it is skipped."""
    package = f".[{','.join(CLIENTS)}]"
    session.install("--upgrade", "--resolution=highest", "--group=test", "-e", package)
    session.run("pytest", "--numprocesses=3", "--dist=worksteal", *session.posargs)


for version in ("3.11", "3.12", "3.13", "3.14"):
    nox.session(newest, name=f"tests-{version}", python=version, download_python="never")


@nox.session
def bench(session: nox.Session) -> None:
    """Measurements, each a ratio to a bound that is measured in the same run."""
    sync(session, "test", "bench", extras=(*CLIENTS, "flink"))
    session.run("pytest", "tests/bench", "-s", "--timeout=1800", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning is an error."""
    sync(session, "docs", extras=("testing",))
    session.run("sphinx-build", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def build(session: nox.Session) -> None:
    """Wheel and sdist, each installed in a clean environment and tried."""
    shutil.rmtree("dist", ignore_errors=True)
    session.run(UV, "build", external=True, silent=True)
    for artifact in sorted((*Path("dist").glob("*.whl"), *Path("dist").glob("*.tar.gz"))):
        session.install("--reinstall-package=mastostream", str(artifact))
        folder = Path(session.create_tmp())
        shutil.rmtree(folder)
        shutil.copytree("examples", folder)
        session.chdir(folder)
        session.run("mastostream", "--version")
        session.run("mastostream", "demo", "--seconds", "5", "--data", "posts")
        analysis = ("--analysis", "own_analysis:QUESTIONS")
        session.run("mastostream", "analyze", "--once", "--data", "posts", *analysis)
        session.chdir(session.invoked_from)
