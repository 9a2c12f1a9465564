"""What ``mastostream analyze --engine flink`` does, as a script to change and to submit.

Run it with ``python flink_job.py``, on this machine, or give it to a cluster:
``flink run -pyexec PYTHON -pyclientexec PYTHON -py flink_job.py --analysis full``. It reads the
posts that ``producer.py`` collects, and settings from mastostream.toml, where there is one.
"""

import argparse
import sys
from pathlib import Path

from mastostream import MastostreamError
from mastostream.config import load_settings
from mastostream.wiring import analyses, flink_engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["stream"], default="stream", help="post by post")
    parser.add_argument(
        "--analysis",
        action="append",
        help="engagement, hashtags, language, full (the default), or module:NAME; may be repeated",
    )
    parser.add_argument("--servers", help="host:port of Kafka; localhost:9092 by default")
    parser.add_argument("--once", action="store_true", help="end with what is there now")
    options = parser.parse_args()

    sys.path.insert(0, str(Path.cwd()))
    settings = load_settings(flags={"log": "kafka", "kafka.servers": options.servers})
    chosen = analyses(settings, options.mode, options.analysis or ["full"])
    engine = flink_engine(settings, chosen, lambda *_: None, once=options.once)

    env = engine.environment()
    statements = engine.job.declare(env)
    # Tables of your own are declared with `env.execute_sql`, and what is to be written to them is
    # added with `statements.add_insert_sql`: all is one job.
    statements.execute().wait()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except MastostreamError as error:
        sys.exit(f"{sys.argv[0]}: {error}")
