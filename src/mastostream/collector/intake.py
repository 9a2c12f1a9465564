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

from mastostream.collector.memory import CollectorMemory, Known, State, Trace
from mastostream.collector.sighting import Sighting
from mastostream.collector.stamping import stamp_raw
from mastostream.core.codec import decode, encode
from mastostream.core.consent import REASONS, ConsentPolicy, reason_to_leave_out
from mastostream.core.models import Deletion, Post, Stamp
from mastostream.core.pseudonyms import SCHEME, pseudonym_of, pseudonymize
from mastostream.core.topics import STREAM
from mastostream.ports.log import NewRecord

__all__ = ["Gone", "Intake", "IntakeStats", "Sifted"]

_ADDRESS: Final = re.compile("[:/]")
_AGAIN_MS: Final = 86_400_000
"""How often it is noted that a server still shows a post that is known."""


class Gone(NamedTuple):
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
class IntakeStats:
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
class Sifted:
    """What is to be done with what was seen.

    Attributes:
        records: to be logged.
        left_out: to be remembered without a record.
        again: known posts: key, server, id there, and whether it is the first sight on the server
            where the author lives.
        hasten: posts whose counts are to be read again now: another server than theirs brought an
            edit.
        fresh: keys, as the server gives them, of posts that were seen for the first time.
        written: whether the log has confirmed the records.
        counts: what became of what was seen, by the names of the counters.
    """

    records: list[NewRecord] = attrs.field(factory=list)
    left_out: list[Trace] = attrs.field(factory=list)
    again: list[tuple[str, str, str, bool]] = attrs.field(factory=list)
    hasten: list[str] = attrs.field(factory=list)
    fresh: set[str] = attrs.field(factory=set)
    written: bool = False
    counts: Counter[str] = attrs.field(factory=Counter)


class Intake:
    """Sifts what sources have seen by what is remembered."""

    def __init__(
        self,
        memory: CollectorMemory,
        *,
        policy: ConsentPolicy | None = None,
        pseudonym_key: bytes | None = None,
        topic: str = STREAM,
    ) -> None:
        """Begin.

        Args:
            memory: what has been logged; not closed here.
            policy: whose posts are left out.
            pseudonym_key: the secret that makes pseudonyms; ``None`` keeps names.
            topic: where records go.
        """
        self.stats = IntakeStats()
        self._memory = memory
        self._policy = policy
        self._pseudonym_key = pseudonym_key
        self._topic = topic
        # What the batch at hand brings, before the memory has it.
        self._ahead: dict[str, Known] = {}
        self._names: dict[tuple[str, str], str] = {}

    def sift(self, seen: Sequence[Sighting | Gone]) -> Sifted:
        """Decide, in the order of arrival; what is decided is to be logged and remembered next."""
        sifted = Sifted()
        self._ahead.clear()
        self._names.clear()
        for each in seen:
            if isinstance(each, Gone):
                self._sift_gone(each, sifted)
            else:
                self._sift_sighting(each, sifted)
        self.stats.add(sifted.counts)
        return sifted

    def _sift_sighting(self, seen: Sighting, sifted: Sifted) -> None:
        key = self.named(seen.key)
        known = self._ahead.get(key) or self._memory.known(key)
        if known is None:
            self._first_sight(seen, key, sifted)
            return
        if known.state is State.DELETED:
            sifted.counts["after_delete"] += 1
            return
        self._note_again(seen, key, known, sifted)
        if known.state is State.LEFT_OUT:
            sifted.counts["known"] += 1
        elif seen.edited_ms < known.edited_ms:
            sifted.counts["stale"] += 1
        elif seen.edited_ms > known.edited_ms:
            sifted.counts["edits"] += 1
            self._log(seen._replace(event="edit"), key, known, sifted)
            if self._memory.refreshes.server_of(key) not in (None, seen.instance):
                sifted.hasten.append(key)
        elif seen.event == "refresh":
            sifted.counts["refreshes"] += 1
            self._log(seen, key, known, sifted)
        else:
            sifted.counts["known"] += 1

    def _first_sight(self, seen: Sighting, key: str, sifted: Sifted) -> None:
        if self._memory.deleted_unseen(seen.instance, seen.post_id):
            sifted.counts["after_delete"] += 1
            return
        reason = self._reason(seen)
        if reason is not None:
            sifted.counts[reason] += 1
            self._ahead[key] = Known(seen.observed_ms, seen.edited_ms, State.LEFT_OUT)
            sifted.left_out.append(
                Trace(
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
        sifted.counts["new"] += 1
        sifted.fresh.add(seen.key)
        self._names[seen.instance, seen.post_id] = key
        self._log(seen._replace(event="new"), key, None, sifted)

    def _sift_gone(self, gone: Gone, sifted: Sifted) -> None:
        name = (gone.instance, gone.post_id)
        key = gone.key or self._names.get(name) or self._memory.key_of(*name)
        if key is None:
            self._memory.bury_unseen(gone.instance, gone.post_id, gone.observed_ms)
            return
        known = self._ahead.get(key) or self._memory.known(key)
        if known is None or known.state is State.DELETED:
            return
        if known.state is State.LEFT_OUT:
            self._ahead[key] = known._replace(state=State.DELETED)
            sifted.left_out.append(
                Trace(key, "delete", gone.instance, gone.post_id, gone.observed_ms)
            )
            return
        sifted.counts["deletes"] += 1
        observed_ms = _version(gone.observed_ms, known)
        self._ahead[key] = Known(observed_ms, known.edited_ms, State.DELETED)
        stamp = Stamp(
            key=key, event="delete", instance=gone.instance, observed_at=_time(observed_ms)
        )
        deletion = Deletion(
            id=gone.post_id, uri=key if key != gone.post_id else None, mastostream=stamp
        )
        sifted.records.append(NewRecord(self._topic, key, encode(deletion)))

    def _log(self, seen: Sighting, key: str, known: Known | None, sifted: Sifted) -> None:
        observed_ms = _version(seen.observed_ms, known)
        self._ahead[key] = Known(observed_ms, seen.edited_ms, State.LOGGED)
        stamp = Stamp(
            key=key, event=seen.event, instance=seen.instance, observed_at=_time(observed_ms)
        )
        raw = seen.raw
        if self._pseudonym_key is not None:
            raw = pseudonymize(raw, self._pseudonym_key, host=seen.instance)
        sifted.records.append(NewRecord(self._topic, key, stamp_raw(raw, stamp)))

    def _note_again(self, seen: Sighting, key: str, known: Known, sifted: Sifted) -> None:
        """Note what a further sight teaches: it is still there, and who else shows it."""
        name = (seen.instance, seen.post_id)
        is_new = name not in self._names and self._memory.is_new_name(*name)
        if is_new or known.seen_ms < seen.observed_ms - _AGAIN_MS:
            self._names[name] = key
            at_home = is_new and seen.is_local and known.state is State.LOGGED
            sifted.again.append((key, *name, at_home))

    def _reason(self, seen: Sighting) -> str | None:
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
