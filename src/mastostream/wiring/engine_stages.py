"""Finds analyses by their names, and builds the local engines that run them."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final, Literal

import attrs

from mastostream.config import Settings
from mastostream.core.analyses import Analysis, built_in
from mastostream.core.engagement import EngagementWeights
from mastostream.core.topic_names import STREAM
from mastostream.engines.local import LocalEngine
from mastostream.engines.local.local_engine import BATCH, OnResults
from mastostream.engines.local.windowed_analysis import WindowTiming
from mastostream.engines.window_outputs import spec_of
from mastostream.exceptions import ConfigurationError
from mastostream.log.sqlite import SqliteEngineLog
from mastostream.ports.clock import Clock
from mastostream.ports.log import EngineLog
from mastostream.wiring.log_backends import TOPICS, kafka_client_config
from mastostream.wiring.paths import data_paths

__all__ = ["Mode", "analyses", "engines"]

Mode = Literal["stream", "sql"]

_KAFKA_BATCH: Final = 5_000
"""Most records per step. A step on Kafka has a fixed cost, which its records share."""


def analyses(settings: Settings, mode: Mode, names: Sequence[str]) -> tuple[Analysis, ...]:
    """Return the analyses with these names: built-in ones, or ``module:NAME`` for a user's own.

    Raises:
        ConfigurationError: there is no such analysis.
    """
    weights = _weights(settings)
    by_name: dict[str, Analysis] = {}
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
        by_name.update({analysis.name: analysis for analysis in chosen})
    return tuple(by_name.values())


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


@attrs.frozen(kw_only=True)
class _Run:
    """What all engines of one command share.

    Attributes:
        settings: the settings.
        clock: the clock.
        on_results: see :class:`engines.local.LocalEngine`.
        once: whether windows are written at the end only.
        from_beginning: whether the engines begin with the oldest record, wherever they were.
    """

    settings: Settings
    clock: Clock
    on_results: OnResults | None
    once: bool
    from_beginning: bool

    @property
    def horizon_ms(self) -> int:
        return round(self.settings.windows.horizon_s * 1000)

    def engine(
        self,
        log: EngineLog,
        chosen: Sequence[Analysis],
        *,
        batch: int = BATCH,
        name: str = "analyze",
    ) -> LocalEngine:
        windows = self.settings.windows
        return LocalEngine(
            log,
            chosen,
            clock=self.clock,
            horizon_ms=self.horizon_ms,
            timing=WindowTiming(
                delay_s=windows.delay_s,
                correct_every_s=windows.correct_every_s,
                at_end=self.once,
            ),
            batch=batch,
            on_results=self.on_results,
            name=name,
            from_beginning=self.from_beginning,
        )


def engines(  # noqa: PLR0913 - each is a choice of the user's
    settings: Settings,
    chosen: Sequence[Analysis],
    clock: Clock,
    on_results: OnResults | None = None,
    *,
    once: bool = False,
    from_beginning: bool = False,
) -> tuple[LocalEngine, ...]:
    """Return the engines that run these analyses over the collected posts.

    On the data folder, one engine runs all of them. On Kafka, one engine runs all per-post analyses
    and shares the partitions with the same engine in other processes; each windowed analysis has an
    engine of its own, which works in one process at a time.

    Args:
        settings: the settings.
        chosen: the analyses.
        clock: the clock of the engines.
        on_results: called with results that are shown.
        once: whether windows are written at the end only.
        from_beginning: whether the engines begin with the oldest record, wherever they were.
    """
    run = _Run(
        settings=settings,
        clock=clock,
        on_results=on_results,
        once=once,
        from_beginning=from_beginning,
    )
    if settings.log == "kafka":
        return _on_kafka(run, chosen)
    log = SqliteEngineLog(
        data_paths(settings).log, topic=STREAM, partitions=settings.partitions, now_ms=clock.now_ms
    )
    return (run.engine(log, chosen),)


def _on_kafka(run: _Run, chosen: Sequence[Analysis]) -> tuple[LocalEngine, ...]:
    config = kafka_client_config(run.settings)
    from mastostream.log.kafka import (  # noqa: PLC0415 - needs an extra
        KafkaEngineLog,
        KafkaWindowLog,
        ensure_topics,
    )

    ensure_topics(config, TOPICS)
    per_post = [analysis for analysis in chosen if analysis.function is not None]
    stages = []
    if per_post:
        names = "+".join(sorted(analysis.state_name for analysis in per_post))
        log = KafkaEngineLog(
            config,
            topic=STREAM,
            group=f"{config.group}-analyze-{names}",
            delivery=run.settings.kafka.delivery,
            now_ms=run.clock.now_ms,
            from_beginning=run.from_beginning,
        )
        stages.append(run.engine(log, per_post, batch=_KAFKA_BATCH))
    for analysis in chosen:
        if analysis.aggregate is not None:
            windows = KafkaWindowLog(
                config,
                topic=STREAM,
                analysis=analysis.state_name,
                spec=spec_of(analysis, run.horizon_ms),
                now_ms=run.clock.now_ms,
            )
            name = f"analyze:{analysis.name}" if len(chosen) > 1 else "analyze"
            stages.append(run.engine(windows, [analysis], name=name))
    return tuple(stages)
