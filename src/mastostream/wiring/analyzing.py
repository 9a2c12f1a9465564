"""Analyses, and the engine that runs them."""

from collections.abc import Sequence
from importlib import import_module
from typing import Literal

import attrs

from mastostream.config import Settings
from mastostream.core.analyses import Analysis, built_in
from mastostream.core.engagement import EngagementWeights
from mastostream.core.topics import STREAM
from mastostream.engines.local import LocalEngine
from mastostream.engines.local.engine import OnResults
from mastostream.exceptions import ConfigurationError
from mastostream.log.sqlite import (
    SqliteEngineLog,
)
from mastostream.ports.clock import Clock
from mastostream.wiring.places import places

__all__ = ["Mode", "analyses", "engine"]

Mode = Literal["stream", "sql"]


def analyses(settings: Settings, mode: Mode, names: Sequence[str]) -> tuple[Analysis, ...]:
    """Return the analyses of these names: built in, or ``module:NAME`` of the user's own.

    Raises:
        ConfigurationError: there is no such analysis.
    """
    weights = _weights(settings)
    found: dict[str, Analysis] = {}
    for name in names:
        if ":" in name:
            chosen: tuple[Analysis, ...] = (_load(name),)
        else:
            try:
                chosen = built_in(mode, name, weights=weights, languages=settings.languages)
            except KeyError:
                raise ConfigurationError(
                    f"--mode {mode} has no analysis {name!r}; see 'mastostream analyze --help', "
                    "or name your own as module:NAME"
                ) from None
        found.update({analysis.name: analysis for analysis in chosen})
    return tuple(found.values())


def _weights(settings: Settings) -> EngagementWeights:
    try:
        return EngagementWeights(**attrs.asdict(settings.weights))
    except ValueError as error:
        raise ConfigurationError(f"wrong settings: weights: {error}") from error


def _load(name: str) -> Analysis:
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"cannot import {module_name!r} for the analysis {name}: "
            f"{type(error).__name__}: {error}"
        ) from error
    analysis = getattr(module, attribute, None)
    if not isinstance(analysis, Analysis):
        raise ConfigurationError(
            f"{module_name} has no Analysis named {attribute!r}: "
            f"expected {attribute} = Analysis(name=..., function=...)"
        )
    return analysis


def engine(
    settings: Settings,
    chosen: Sequence[Analysis],
    clock: Clock,
    on_results: OnResults | None = None,
) -> LocalEngine:
    """Run these analyses over the collected posts."""
    log = SqliteEngineLog(
        places(settings).log, topic=STREAM, partitions=settings.partitions, now_ms=clock.now_ms
    )
    return LocalEngine(
        log,
        chosen,
        clock=clock,
        delay_ms=int(settings.windows.delay_s * 1000),
        idle_timeout_ms=int(settings.windows.idle_timeout_s * 1000),
        on_results=on_results,
    )
