"""The rows of a query, as they come."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyflink.table import TableResult

__all__ = ["Rows"]


class Rows:
    """Collects the rows of a query: PyFlink knows no other way than to wait for the next one."""

    def __init__(self, result: "TableResult", on_row: Callable[[Sequence[object]], None]) -> None:
        self._result = result
        self._on_row = on_row
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._collect, name="flink-rows", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Return whether the query has come to its end; raise what ended it."""
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def _collect(self) -> None:
        try:
            with self._result.collect() as rows:
                for row in rows:
                    self._on_row(list(row))
        except Exception as error:  # noqa: BLE001 - handed over to whoever waits
            self._error = error
