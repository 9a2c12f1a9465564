"""An HTTP server with Prometheus metrics (``/metrics``) and a health page (``/health``)."""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mastostream.exceptions import ConfigurationError
from mastostream.ports.stage import StageHealth

__all__ = ["MetricsServer"]

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Counters = Callable[[], Mapping[str, int]]


class _Stages(Collector):
    """Prometheus collector that reads the stages' health and counters at each scrape."""

    def __init__(self, health: Callable[[], Iterable[StageHealth]], counters: Counters) -> None:
        self._health = health
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        records = CounterMetricFamily(
            "mastostream_records", "Records that a stage has processed", labels=["stage"]
        )
        up = GaugeMetricFamily(
            "mastostream_stage_up",
            "1 while a stage works, 0 while it cannot or once it has failed",
            labels=["stage"],
        )
        for stage in self._health():
            records.add_metric([stage.name], stage.processed)
            up.add_metric([stage.name], stage.ok)
        yield records
        yield up
        for name, value in self._counters().items():
            yield CounterMetricFamily(f"mastostream_{name}", name.replace("_", " "), value=value)


class MetricsServer:
    """Serves ``/metrics`` and ``/health`` on 127.0.0.1 while the ``with`` block lasts.

    ``/health`` is JSON. Its status is 503 if a stage has failed, or can do nothing now, for example
    because a server is away; else it is 200.

    Attributes:
        url: the server's address, ``http://127.0.0.1:port``.
    """

    def __init__(
        self,
        port: int,
        health: Callable[[], Iterable[StageHealth]],
        counters: Counters,
    ) -> None:
        """Open the port; requests are answered once the ``with`` block begins.

        Args:
            port: TCP port; 0 for any free one.
            health: returns the health of all stages; called from other threads.
            counters: returns further counters by name; called from other threads.

        Raises:
            ConfigurationError: the port cannot be used.
        """
        registry = CollectorRegistry()
        registry.register(_Stages(health, counters))

        def metrics(_: Request) -> Response:
            return Response(generate_latest(registry), media_type=_CONTENT_TYPE)

        def healthy(_: Request) -> Response:
            found = tuple(health())
            stages = {
                stage.name: {
                    "ok": stage.ok,
                    "state": stage.state,
                    "error": stage.error or stage.trouble or None,
                    "detail": stage.detail,
                }
                for stage in found
            }
            ok = all(stage.ok for stage in found)
            return JSONResponse({"ok": ok, "stages": stages}, 200 if ok else 503)

        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else error
            raise ConfigurationError(
                f"port {port} cannot be used for metrics ({reason}): choose another one"
            ) from error
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = Starlette(routes=[Route("/metrics", metrics), Route("/health", healthy)])
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()
