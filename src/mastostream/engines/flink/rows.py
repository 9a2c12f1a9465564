"""Reads the rows of a running query, in a thread."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyflink.table import TableResult

__all__ = ["Rows"]


class Rows:
    """Passes the rows of a query to a callback, from a thread: PyFlink can only wait for a row.

    A query that corrects its rows has a changelog: of a row that changes, the new one is passed.
    """

    def __init__(self, result: "TableResult", on_row: Callable[[Sequence[object]], None]) -> None:
        self._result = result
        self._on_row = on_row
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._collect, name="flink-rows", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the query, at most this long; return whether it has ended.

        Raises:
            Exception: what ended the query.
        """
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        return not self._thread.is_alive()

    def _collect(self) -> None:
        from pyflink.common import RowKind  # noqa: PLC0415 - an extra

        try:
            with self._result.collect() as rows:
                for row in rows:
                    if row.get_row_kind() in {RowKind.INSERT, RowKind.UPDATE_AFTER}:
                        self._on_row(list(row))
        except Exception as error:  # noqa: BLE001 - raised again in wait()
            self._error = error
