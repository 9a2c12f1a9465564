"""``import mastostream`` takes at most 100 ms."""

import os
import subprocess
import sys

ALLOWED_S = 0.1
ROUNDS = 11
PROGRAM = "import time; a = time.perf_counter(); import mastostream; print(time.perf_counter() - a)"


def test_import() -> None:
    command = [sys.executable, "-c", PROGRAM]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.check_output(command, env=environment)  # compiles the modules, as pip does
    times = [float(subprocess.check_output(command, env=environment)) for _ in range(ROUNDS)]
    median = sorted(times)[ROUNDS // 2]
    print(f"\nimport mastostream: {median * 1000:.0f} ms: ratio {median / ALLOWED_S:.2f} to 100 ms")
    assert median <= ALLOWED_S
