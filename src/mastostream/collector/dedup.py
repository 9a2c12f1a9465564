"""From what was seen to what is logged: each post once, each edit once, nothing after a delete.

Order is not trusted: a server's streams swap events, several servers are not equally up to date,
and a page may be older than the event that came before it. So an edit counts by the time of the
edit, not of its arrival, and a version is higher than the one before it, whatever the clock does.
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
from mastostream.core.codec import decode, encode
from mastostream.core.consent import REASONS, ConsentPolicy, reason_to_leave_out
from mastostream.core.models import Deletion, Post, Stamp
from mastostream.core.pseudonyms import SCHEME, pseudonym_of, pseudonymize
from mastostream.core.topic_names import STREAM
from mastostream.ports.log import NewRecord

__all__ = ["DedupStats", "Deduplicator", "DeleteObserved", "WritePlan"]

_ADDRESS: Final = re.compile("[:/]")
_AGAIN_MS: Final = 86_400_000
"""How often it is noted that a server still shows a post that is known."""


class DeleteObserved(NamedTuple):
    """A server says that a post is no more.

    Attributes:
        instance: the server.
        post_id: the post's id there.
        observed_ms: when it said so.
        key: the post's key where it is known already.
    """

    instance: str
    post_id: str
    observed_ms: int
    key: str | None = None


@attrs.define
class DedupStats:
    """What became of what was seen. Read by other threads.

    Attributes:
        new: posts logged.
        edits: edits logged.
        refreshes: counts logged that were read again.
        deletes: deletes logged.
        known: sights that brought nothing new.
        stale: versions that were older than what is known.
        after_delete: sights of posts that are deleted.
        left_out: posts left out, by reason.
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
        """Add up."""
        for name, count in counts.items():
            if name in REASONS:
                self.left_out[name] += count
            else:
                setattr(self, name, getattr(self, name) + count)


@attrs.define
class WritePlan:
    """What is to be done with what was seen.

    Attributes:
        records: to be logged.
        left_out: to be remembered without a record.
        again: known posts: key, server, id there, and whether it is the first sight on the server
            where the author lives.
        expedite: posts whose counts are to be read again now: another server than theirs brought an
            edit.
        fresh: keys, as the server gives them, of posts that were seen for the first time.
        written: whether the log has confirmed the records.
        counts: what became of what was seen, by the names of the counters.
    """

    records: list[NewRecord] = attrs.field(factory=list)
    left_out: list[SeenEntry] = attrs.field(factory=list)
    again: list[tuple[str, str, str, bool]] = attrs.field(factory=list)
    expedite: list[str] = attrs.field(factory=list)
    fresh: set[str] = attrs.field(factory=set)
    written: bool = False
    counts: Counter[str] = attrs.field(factory=Counter)


class Deduplicator:
    """Sifts what sources have seen by what is remembered."""

    def __init__(
        self,
        state_store: CollectorStateStore,
        *,
        policy: ConsentPolicy | None = None,
        pseudonym_key: bytes | None = None,
        topic: str = STREAM,
    ) -> None:
        """Begin.

        Args:
            state_store: what has been logged; not closed here.
            policy: whose posts are left out.
            pseudonym_key: the secret that makes pseudonyms; ``None`` keeps names.
            topic: where records go.
        """
        self.stats = DedupStats()
        self._state_store = state_store
        self._policy = policy
        self._pseudonym_key = pseudonym_key
        self._topic = topic
        # What the batch at hand brings, before the memory has it.
        self._ahead: dict[str, Known] = {}
        self._names: dict[tuple[str, str], str] = {}

    def plan(self, seen: Sequence[Observation | DeleteObserved]) -> WritePlan:
        """Decide, in the order of arrival; what is decided is to be logged and remembered next."""
        write_plan = WritePlan()
        self._ahead.clear()
        self._names.clear()
        for each in seen:
            if isinstance(each, DeleteObserved):
                self._plan_delete(each, write_plan)
            else:
                self._plan_observation(each, write_plan)
        self.stats.add(write_plan.counts)
        return write_plan

    def _plan_observation(self, seen: Observation, write_plan: WritePlan) -> None:
        key = self.named(seen.key)
        known = self._ahead.get(key) or self._state_store.known(key)
        if known is None:
            self._first_sight(seen, key, write_plan)
            return
        if known.state is PostState.DELETED:
            write_plan.counts["after_delete"] += 1
            return
        self._note_again(seen, key, known, write_plan)
        if known.state is PostState.LEFT_OUT:
            write_plan.counts["known"] += 1
        elif seen.edited_ms < known.edited_ms:
            write_plan.counts["stale"] += 1
        elif seen.edited_ms > known.edited_ms:
            write_plan.counts["edits"] += 1
            self._log(seen._replace(event="edit"), key, known, write_plan)
            if self._state_store.refreshes.server_of(key) not in (None, seen.instance):
                write_plan.expedite.append(key)
        elif seen.event == "refresh":
            write_plan.counts["refreshes"] += 1
            self._log(seen, key, known, write_plan)
        else:
            write_plan.counts["known"] += 1

    def _first_sight(self, seen: Observation, key: str, write_plan: WritePlan) -> None:
        if self._state_store.deleted_unseen(seen.instance, seen.post_id):
            write_plan.counts["after_delete"] += 1
            return
        reason = self._reason(seen)
        if reason is not None:
            write_plan.counts[reason] += 1
            self._ahead[key] = Known(seen.observed_ms, seen.edited_ms, PostState.LEFT_OUT)
            write_plan.left_out.append(
                SeenEntry(
                    key,
                    "new",
                    seen.instance,
                    seen.post_id,
                    seen.observed_ms,
                    seen.edited_ms,
                    left_out=True,
                )
            )
            return
        write_plan.counts["new"] += 1
        write_plan.fresh.add(seen.key)
        self._names[seen.instance, seen.post_id] = key
        self._log(seen._replace(event="new"), key, None, write_plan)

    def _plan_delete(self, gone: DeleteObserved, write_plan: WritePlan) -> None:
        name = (gone.instance, gone.post_id)
        key = gone.key or self._names.get(name) or self._state_store.key_of(*name)
        if key is None:
            self._state_store.record_tombstone(gone.instance, gone.post_id, gone.observed_ms)
            return
        known = self._ahead.get(key) or self._state_store.known(key)
        if known is None or known.state is PostState.DELETED:
            return
        if known.state is PostState.LEFT_OUT:
            self._ahead[key] = known._replace(state=PostState.DELETED)
            write_plan.left_out.append(
                SeenEntry(key, "delete", gone.instance, gone.post_id, gone.observed_ms)
            )
            return
        write_plan.counts["deletes"] += 1
        observed_ms = _version(gone.observed_ms, known)
        self._ahead[key] = Known(observed_ms, known.edited_ms, PostState.DELETED)
        stamp = Stamp(
            key=key, event="delete", instance=gone.instance, observed_at=_time(observed_ms)
        )
        deletion = Deletion(
            id=gone.post_id, uri=key if key != gone.post_id else None, mastostream=stamp
        )
        write_plan.records.append(NewRecord(self._topic, key, encode(deletion)))

    def _log(self, seen: Observation, key: str, known: Known | None, write_plan: WritePlan) -> None:
        observed_ms = _version(seen.observed_ms, known)
        self._ahead[key] = Known(observed_ms, seen.edited_ms, PostState.LOGGED)
        stamp = Stamp(
            key=key, event=seen.event, instance=seen.instance, observed_at=_time(observed_ms)
        )
        raw = seen.raw
        if self._pseudonym_key is not None:
            raw = pseudonymize(raw, self._pseudonym_key, host=seen.instance)
        write_plan.records.append(NewRecord(self._topic, key, stamp_raw(raw, stamp)))

    def _note_again(self, seen: Observation, key: str, known: Known, write_plan: WritePlan) -> None:
        """Note what a further sight teaches: it is still there, and who else shows it."""
        name = (seen.instance, seen.post_id)
        is_new = name not in self._names and self._state_store.is_new_name(*name)
        if is_new or known.seen_ms < seen.observed_ms - _AGAIN_MS:
            self._names[name] = key
            at_home = is_new and seen.is_local and known.state is PostState.LOGGED
            write_plan.again.append((key, *name, at_home))

    def _reason(self, seen: Observation) -> str | None:
        if self._policy is None:
            return None
        post = decode(seen.raw)
        return reason_to_leave_out(post, self._policy) if isinstance(post, Post) else None

    def named(self, key: str) -> str:
        """Return what a post of this key is called in the log."""
        if self._pseudonym_key is None or not _ADDRESS.search(key):
            return key
        return SCHEME + pseudonym_of(key, self._pseudonym_key)


def _version(observed_ms: int, known: Known | None) -> int:
    """Higher than the one before it: two of the same could not be told apart."""
    return observed_ms if known is None else max(observed_ms, known.seen_ms + 1)


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
