"""The cause in one sentence, from the stack traces of Java and Python."""

import pytest

from mastostream.engines.flink.error_summary import root_cause

PYTHON = """\
org.apache.flink.AsynchronousException: Caught exception while processing timer.
\tat org.apache.flink.streaming.StreamTask.run(StreamTask.java:1)
Caused by: java.lang.RuntimeException: SDK harness: Traceback (most recent call last):
  File "/x/sdk_worker.py", line 311, in _execute
    response = task()
ModuleNotFoundError: No module named 'own'

\t... 3 more
"""


@pytest.mark.parametrize(
    ("stack", "cause"),
    [
        ("", "it does not say why"),
        ("\n\n", "it does not say why"),
        ("org.apache.flink.Lost: it is gone.\n\tat a.b\n", "Lost: it is gone"),
        ("a.b.C: x\n\tat d\nCaused by: e.F$G: y\n\t... 2 more\nCaused by: h.I: z\n", "I: z"),
        ("a.C: Task x (1/1) is not executed. Failure reason: Not all run.\n", "Not all run"),
        (PYTHON, "ModuleNotFoundError: No module named 'own'"),
        ("a.B: \x1b[2J", "B: ?[2J"),
        ("no class here", "no class here"),
    ],
)
def test_the_root_is_told_in_one_sentence(stack: str, cause: str) -> None:
    assert root_cause(stack) == cause


def test_it_is_not_long() -> None:
    assert len(root_cause("x" * 10_000)) == 500
