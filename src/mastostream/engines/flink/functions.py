"""The functions of the built-in job, as Flink's Python workers call them."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from pyflink.common import Row
from pyflink.table.udf import FunctionContext, ScalarFunction, TableFunction

from mastostream.core.analyses import Analysis
from mastostream.engines.flink.batches import Batches, column_names, unpacked

__all__ = ["Analyze", "Unpack"]


class Analyze(ScalarFunction):  # type: ignore[misc]  # PyFlink has no types
    """From columns of records to columns of results; see :mod:`batches`."""

    def __init__(self, analyses: Sequence[Analysis], topic: str, *, raises: bool) -> None:
        self._analyses = tuple(analyses)
        self._topic = topic
        self._raises = raises
        self._batches: Batches | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        self._batches = Batches(
            self._analyses,
            self._topic,
            lambda: time.time_ns() // 1_000_000,
            raises=self._raises,
        )

    def eval(
        self,
        values: "pd.Series[Any]",
        partitions: "pd.Series[Any]",
        offsets: "pd.Series[Any]",
        keys: "pd.Series[Any]",
    ) -> pd.DataFrame:
        assert self._batches is not None  # noqa: S101 - Flink opens it first
        columns = self._batches.columns(values, partitions, offsets, keys)
        names = column_names(self._analyses)
        return pd.DataFrame(
            {
                name: pd.Series(column, dtype=object)
                for name, column in zip(names, columns, strict=True)
            }
        )


class Unpack(TableFunction):  # type: ignore[misc]  # as above
    """From packed records to rows of topic, key, value, headers."""

    def eval(self, rest: bytes) -> Iterator[Row]:
        for record in unpacked(rest):
            yield Row(*record)
