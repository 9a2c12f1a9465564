"""Builds pydoop for a Python, with nothing there but a JDK, a C++ compiler and the network.

pydoop 2.0.0 is built against Hadoop's jars; those of Hadoop 3.2.4 are the newest that it compiles
with, and what it is then reads and writes an HDFS 3.4. This gets them from Maven Central, makes the
little of a Hadoop installation that pydoop asks for, and builds::

    python scripts/install_pydoop.py --python .venv/bin/python --home ~/hadoop-3.2.4

It asks nothing. What is missing it names; as root on Debian it installs ``libtirpc-dev`` itself.
Needs mastostream with the extra ``services``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from mastostream.exceptions import ConfigurationError, MastostreamError, RetriableError
from mastostream.services.downloads import class_path
from mastostream.services.java import find_java

PYDOOP: Final = "pydoop==2.0.0"
HADOOP: Final = "3.2.4"
JARS: Final = (
    f"org.apache.hadoop:hadoop-common:{HADOOP}",
    f"org.apache.hadoop:hadoop-hdfs-client:{HADOOP}",
    f"org.apache.hadoop:hadoop-mapreduce-client-jobclient:{HADOOP}",
)
TOOLS: Final = ("setuptools<70", "wheel")
RPC_HEADERS: Final = Path("/usr/include/tirpc")
PATIENCE_S: Final = 600.0
PROGRAM: Final = f"""\
#!/bin/sh
# The little of Hadoop's program that pydoop asks.
home=$(cd "$(dirname "$0")/.." && pwd)
case "$1" in
    version) echo "Hadoop {HADOOP}" ;;
    classpath)
        printf '%s:' "${{HADOOP_CONF_DIR:-$home/etc/hadoop}}"
        ls "$home"/share/hadoop/*.jar | paste -s -d : ;;
    *) echo "this hadoop only knows: version, classpath" >&2; exit 2 ;;
esac
"""


def main() -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="the Python that gets it")
    parser.add_argument("--home", type=Path, required=True, help="becomes HADOOP_HOME")
    chosen = parser.parse_args()
    home = chosen.home.expanduser().resolve()
    try:
        environment = prepare(home)
        install(chosen.python, environment)
    except MastostreamError as error:
        print(f"install_pydoop: {error}", file=sys.stderr)
        return 3 if isinstance(error, RetriableError) else 2
    print(f"pydoop is ready: HADOOP_HOME={home} JAVA_HOME={environment['JAVA_HOME']}")
    return 0


def prepare(home: Path) -> dict[str, str]:
    """Make what the build needs; return its environment.

    Raises:
        ConfigurationError: something is missing that has to be installed.
        RetriableError: Maven Central cannot be reached.
    """
    java = find_java()
    if not (java.home / "bin" / "javac").is_file():
        raise ConfigurationError(
            f"{java.home} has no javac: install a JDK ('apt install openjdk-17-jdk-headless')"
        )
    if shutil.which("g++") is None or shutil.which("gcc") is None:
        raise ConfigurationError("there is no C++ compiler: install one ('apt install g++')")
    environment = dict(os.environ) | {
        "JAVA_HOME": str(java.home),
        "HADOOP_HOME": str(home),
        "PATH": f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    if not Path("/usr/include/rpc/types.h").exists():  # the C library has had none since 2.26
        install_rpc_headers()
        environment |= {"CPATH": str(RPC_HEADERS), "LDFLAGS": "-ltirpc"}
    make_home(home)
    return environment


def install_rpc_headers() -> None:
    """Install Debian's package of them, where that can be done without a question."""
    if (RPC_HEADERS / "rpc" / "types.h").exists():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (("update",), ("install", "-y", "libtirpc-dev")):
            subprocess.run(  # noqa: S603 - nothing in it comes from outside
                ["apt-get", "-qq", *command],  # noqa: S607 - wherever the system has it
                env=quiet,
                check=False,
                timeout=PATIENCE_S,
            )
    if not (RPC_HEADERS / "rpc" / "types.h").exists():
        raise ConfigurationError(
            f"{RPC_HEADERS}/rpc/types.h is missing: install it ('apt install libtirpc-dev', as "
            "root)"
        )


def make_home(home: Path) -> None:
    """Make what pydoop takes for a Hadoop: jars, a program, an empty configuration."""
    share = home / "share" / "hadoop"
    for folder in (share, home / "bin", home / "etc" / "hadoop"):
        folder.mkdir(parents=True, exist_ok=True)
    for jar in class_path(
        JARS, lambda text, _: print(text, flush=True) if sys.stdout.isatty() else None
    ):
        target = share / jar.name
        if not target.exists():
            shutil.copyfile(jar, target)
    program = home / "bin" / "hadoop"
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)


def install(python: str, environment: dict[str, str]) -> None:
    """Build pydoop into an environment; tools first, since its own build asks for none."""
    began_s = time.monotonic()
    for packages in (TOOLS, ("--no-build-isolation", PYDOOP)):
        command = [python, "-m", "pip", "install", "--quiet", *packages]
        done = subprocess.run(  # noqa: S603 - the user names the Python
            command,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            raise ConfigurationError(f"{' '.join(command)} failed:\n{last}")
    print(f"built in {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
