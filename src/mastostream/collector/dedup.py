"""Deduplication: logs each post once, each edit once, and nothing after a delete.

It does not trust the order of arrival. A server's streams swap events, several servers are not
equally up to date, and a page may be older than an event that arrived before it. So edits are
ordered by the time of the edit, not of the arrival. Each logged version of a post is higher than
the one before, even if the clock is set back.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import attrs

from mastostream.collector.observation import Observation, PostState, SeenEntry
from mastostream.collector.stamping import stamp_raw
from mastostream.collector.state_store import CollectorStateStore, Known
from mastostream.core.accounts import PSEUDONYM_SCHEME
from mastostream.core.codec import decode, encode
from mastostream.core.consent import REASONS, ConsentPolicy, reason_to_leave_out
from mastostream.core.models import Deletion, Post, Stamp
from mastostream.core.pseudonyms import pseudonym_of, pseudonymize
from mastostream.core.topic_names import STREAM
from mastostream.ports.log import NewRecord

__all__ = ["DedupStats", "Deduplicator", "DeleteObserved", "WritePlan"]

_ADDRESS: Final = re.compile("[:/]")
_REOBSERVE_MS: Final = 86_400_000
"""A known post that servers still show is noted in the state store at most this often."""


class DeleteObserved(NamedTuple):
    """A server's word that a post was deleted.

    Attributes:
        instance: the server.
        post_id: the post's id on that server.
        observed_ms: when the server said so, milliseconds since the epoch.
        key: the post's key, if it is known already.
    """

    instance: str
    post_id: str
    observed_ms: int
    key: str | None = None


@attrs.define
class DedupStats:
    """Counters of the deduplicator. Read by other threads.

    Attributes:
        new: posts that were logged.
        edits: edits that were logged.
        refreshes: refreshed counts that were logged.
        deletes: deletes that were logged.
        known: observations of known posts without anything new.
        stale: observations of a version that is older than the known one.
        after_delete: observations of deleted posts.
        left_out: posts that were left out, by reason.
    """

    new: int = 0
    edits: int = 0
    refreshes: int = 0
    deletes: int = 0
    known: int = 0
    stale: int = 0
    after_delete: int = 0
    left_out: Counter[str] = attrs.field(factory=Counter)

    def add(self, counts: Mapping[str, int]) -> None:
        """Add these counts, named as the attributes or as the reasons to leave a post out."""
        for name, count in counts.items():
            if name in REASONS:
                self.left_out[name] += count
            else:
                setattr(self, name, getattr(self, name) + count)


@attrs.define
class WritePlan:
    """The writes that a batch of observations leads to.

    Attributes:
        records: records to append to the log.
        left_out: entries for the state store that have no record in the log.
        reobserved: known posts that were observed again: key, server, id on that server, and
            whether this is the first observation on the author's own server.
        expedite: keys of posts whose counts are to be refreshed now, because an edit came from
            another server than the one that is asked for their counts.
        fresh: keys, as the server gives them, of posts that were observed for the first time.
        written: whether the log has confirmed ``records``.
        counts: how many observations went to each counter of :class:`DedupStats`.
    """

    records: list[NewRecord] = attrs.field(factory=list)
    left_out: list[SeenEntry] = attrs.field(factory=list)
    reobserved: list[tuple[str, str, str, bool]] = attrs.field(factory=list)
    expedite: list[str] = attrs.field(factory=list)
    fresh: set[str] = attrs.field(factory=set)
    written: bool = False
    counts: Counter[str] = attrs.field(factory=Counter)


class Deduplicator:
    """Decides by the state store what is to be logged of the observations."""

    def __init__(
        self,
        state_store: CollectorStateStore,
        *,
        policy: ConsentPolicy | None = None,
        pseudonym_key: bytes | None = None,
        topic: str = STREAM,
    ) -> None:
        """Start with empty counters.

        Args:
            state_store: which posts are in the log; not closed here.
            policy: whose posts are left out.
            pseudonym_key: the secret that pseudonyms are made with; ``None`` keeps names.
            topic: the topic of the records.
        """
        self.stats = DedupStats()
        self._state_store = state_store
        self._policy = policy
        self._pseudonym_key = pseudonym_key
        self._topic = topic
        # The posts of the batch at hand, which are not in the state store yet.
        self._batch_known: dict[str, Known] = {}
        self._batch_keys: dict[tuple[str, str], str] = {}

    def plan(self, observations: Sequence[Observation | DeleteObserved]) -> WritePlan:
        """Decide in the order of arrival. The plan has to be carried out before the next call."""
        write_plan = WritePlan()
        self._batch_known.clear()
        self._batch_keys.clear()
        for observation in observations:
            if isinstance(observation, DeleteObserved):
                self._plan_delete(observation, write_plan)
            else:
                self._plan_observation(observation, write_plan)
        self.stats.add(write_plan.counts)
        return write_plan

    def _plan_observation(self, observation: Observation, write_plan: WritePlan) -> None:
        key = self.log_key(observation.key)
        known = self._batch_known.get(key) or self._state_store.known(key)
        if known is None:
            self._plan_first_observation(observation, key, write_plan)
            return
        if known.state is PostState.DELETED:
            write_plan.counts["after_delete"] += 1
            return
        self._plan_reobservation(observation, key, known, write_plan)
        if known.state is PostState.LEFT_OUT:
            write_plan.counts["known"] += 1
        elif observation.edited_ms < known.edited_ms:
            write_plan.counts["stale"] += 1
        elif observation.edited_ms > known.edited_ms:
            write_plan.counts["edits"] += 1
            self._add_record(observation._replace(event="edit"), key, known, write_plan)
            if self._state_store.refreshes.server_of(key) not in (None, observation.instance):
                write_plan.expedite.append(key)
        elif observation.event == "refresh":
            write_plan.counts["refreshes"] += 1
            self._add_record(observation, key, known, write_plan)
        else:
            write_plan.counts["known"] += 1

    def _plan_first_observation(
        self, observation: Observation, key: str, write_plan: WritePlan
    ) -> None:
        if self._state_store.has_tombstone(observation.instance, observation.post_id):
            write_plan.counts["after_delete"] += 1
            return
        reason = self._reason_to_leave_out(observation)
        if reason is not None:
            write_plan.counts[reason] += 1
            self._batch_known[key] = Known(
                observation.observed_ms, observation.edited_ms, PostState.LEFT_OUT
            )
            write_plan.left_out.append(
                SeenEntry(
                    key,
                    "new",
                    observation.instance,
                    observation.post_id,
                    observation.observed_ms,
                    observation.edited_ms,
                    left_out=True,
                )
            )
            return
        write_plan.counts["new"] += 1
        write_plan.fresh.add(observation.key)
        self._batch_keys[observation.instance, observation.post_id] = key
        self._add_record(observation._replace(event="new"), key, None, write_plan)

    def _plan_delete(self, delete: DeleteObserved, write_plan: WritePlan) -> None:
        name = (delete.instance, delete.post_id)
        key = delete.key or self._batch_keys.get(name) or self._state_store.key_of(*name)
        if key is None:
            self._state_store.record_tombstone(delete.instance, delete.post_id, delete.observed_ms)
            return
        known = self._batch_known.get(key) or self._state_store.known(key)
        if known is None or known.state is PostState.DELETED:
            return
        if known.state is PostState.LEFT_OUT:
            self._batch_known[key] = known._replace(state=PostState.DELETED)
            write_plan.left_out.append(
                SeenEntry(key, "delete", delete.instance, delete.post_id, delete.observed_ms)
            )
            return
        write_plan.counts["deletes"] += 1
        observed_ms = _rising_version(delete.observed_ms, known)
        self._batch_known[key] = Known(observed_ms, known.edited_ms, PostState.DELETED)
        stamp = Stamp(
            key=key, event="delete", instance=delete.instance, observed_at=_time(observed_ms)
        )
        deletion = Deletion(
            id=delete.post_id, uri=key if key != delete.post_id else None, mastostream=stamp
        )
        write_plan.records.append(NewRecord(self._topic, key, encode(deletion)))

    def _add_record(
        self, observation: Observation, key: str, known: Known | None, write_plan: WritePlan
    ) -> None:
        observed_ms = _rising_version(observation.observed_ms, known)
        self._batch_known[key] = Known(observed_ms, observation.edited_ms, PostState.LOGGED)
        stamp = Stamp(
            key=key,
            event=observation.event,
            instance=observation.instance,
            observed_at=_time(observed_ms),
        )
        raw = observation.raw
        if self._pseudonym_key is not None:
            raw = pseudonymize(raw, self._pseudonym_key, host=observation.instance)
        write_plan.records.append(NewRecord(self._topic, key, stamp_raw(raw, stamp)))

    def _plan_reobservation(
        self, observation: Observation, key: str, known: Known, write_plan: WritePlan
    ) -> None:
        """Note that a known post is still there, and its id if this server shows it first."""
        name = (observation.instance, observation.post_id)
        is_new = name not in self._batch_keys and self._state_store.is_new_name(*name)
        if is_new or known.seen_ms < observation.observed_ms - _REOBSERVE_MS:
            self._batch_keys[name] = key
            at_home = is_new and observation.is_local and known.state is PostState.LOGGED
            write_plan.reobserved.append((key, *name, at_home))

    def _reason_to_leave_out(self, observation: Observation) -> str | None:
        if self._policy is None:
            return None
        post = decode(observation.raw)
        return reason_to_leave_out(post, self._policy) if isinstance(post, Post) else None

    def log_key(self, key: str) -> str:
        """Return the key that a post has in the log: a pseudonym if its key is an address."""
        if self._pseudonym_key is None or not _ADDRESS.search(key):
            return key
        return PSEUDONYM_SCHEME + pseudonym_of(key, self._pseudonym_key)


def _rising_version(observed_ms: int, known: Known | None) -> int:
    """Return a version that is higher than the known one: two of the same could not be ordered."""
    return observed_ms if known is None else max(observed_ms, known.seen_ms + 1)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
