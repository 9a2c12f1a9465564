"""What ``mastostream analyze --engine flink`` does, as a script to change and to submit.

Run it with ``python flink_job.py``, on this machine, or give it to a cluster:
``flink run -pyexec PYTHON -pyclientexec PYTHON -py flink_job.py --analysis full``. It reads the
posts that ``producer.py`` collects, and settings from mastostream.toml, where there is one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mastostream import Analysis, MastostreamError
from mastostream.config import load_settings
from mastostream.wiring import flink_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["stream", "sql"], default="stream")
    parser.add_argument(
        "--analysis",
        action="append",
        help="stream: engagement, hashtags, language, full (its default); sql: count (its "
        "default), dashboard, trends, and with --print engagement, language, users; or "
        "module:NAME; may be repeated",
    )
    parser.add_argument("--servers", help="host:port of Kafka; localhost:9092 by default")
    parser.add_argument("--once", action="store_true", help="end with what is there now")
    parser.add_argument("--print", action="store_true", help="of sql: show, and write nothing")
    options = parser.parse_args()

    sys.path.insert(0, str(Path.cwd()))
    settings = load_settings(flags={"log": "kafka", "kafka.servers": options.servers})
    names = options.analysis or ["count" if options.mode == "sql" else "full"]
    engine = flink_engine(
        settings,
        options.mode,
        names,
        on_progress=lambda *_: None,
        once=options.once,
        on_results=show if options.print else None,
    )
    if options.print:
        while not engine.ended:
            engine.step(1.0)
        return

    env = engine.environment()
    statements = engine.job.declare(env)
    # Tables of your own are declared with `env.execute_sql`, and what is to be written to them is
    # added with `statements.add_insert_sql`: all is one job.
    statements.execute().wait()


def show(_: Analysis, records: Sequence[object]) -> None:
    for record in records:
        print(record)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
