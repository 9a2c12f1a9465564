"""What tests of several rooms share."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest


class JobManager:
    """Answers as the REST API of Flink does, with what a test puts in.

    ``answers`` has a status and an answer for each ``METHOD /path?query``; ``asked`` is what came,
    with its body.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.asked: list[tuple[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.target = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def holds(self, *jobs: tuple[str, str, str]) -> None:
        """Have these jobs: id, name, state."""
        told = [
            {
                "jid": number * 32,
                "name": name,
                "state": state,
                "start-time": 1_700_000_000_000,
                "tasks": {"total": 2, "running": 2, "failed": 0},
            }
            for number, name, state in jobs
        ]
        self.answers["GET /jobs/overview"] = (200, {"jobs": told})
        for job in told:
            where = f"GET /jobs/{job['jid']}"
            done = {"latest_ack_timestamp": 1_700_000_060_000}
            self.answers[f"{where}/checkpoints"] = (200, {"latest": {"completed": done}})
            metrics = [{"id": "numRestarts", "value": "3"}]
            self.answers[f"{where}/metrics?get=numRestarts"] = (200, metrics)
            failed = {"stacktrace": "java.lang.Exception: all\nCaused by: a.b.Lost: it is gone\n"}
            history = {"exceptionHistory": {"entries": [failed]}}
            self.answers[f"{where}/exceptions"] = (200, history)
            self.reads(str(job["jid"]), posts=(1_000, 994))

    def reads(self, job: str, **sources: tuple[int, int]) -> None:
        """Let sources of a job have taken and passed on so many records."""
        steps = [{"id": "v0", "name": "Calc[1] -> counts[2]: Writer"}]
        for number, (name, counts) in enumerate(sources.items(), start=1):
            steps.append({"id": f"v{number}", "name": f"Source: {name}[{number}] -> Calc[9]"})
            path = f"GET /jobs/{job}/vertices/v{number}/subtasks/metrics"
            names = [f"Source__{name}[{number}].numRecords{way}" for way in ("In", "Out")]
            others = ["numRecordsIn", "Calc[9].numRecordsIn", f"{names[0]}PerSecond"]
            self.answers[path] = (200, [{"id": name} for name in (*others, *names)])
            totals = [{"id": n, "sum": float(c)} for n, c in zip(names, counts, strict=True)]
            query = urlencode({"get": ",".join(names), "agg": "sum"})
            self.answers[f"{path}?{query}"] = (200, totals)
        self.answers[f"GET /jobs/{job}"] = (200, {"vertices": steps})

    def refuses(self, request: str, status: int, stack: str) -> None:
        self.answers[request] = (status, {"errors": [stack]})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        manager = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(size)) if size else None
                request = f"{self.command} {self.path}"
                manager.asked.append((request, body))
                status, told = manager.answers.get(request, (404, {"errors": ["Not found"]}))
                data = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names of the base class

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def jobmanager() -> Iterator[JobManager]:
    manager = JobManager()
    yield manager
    manager.close()
