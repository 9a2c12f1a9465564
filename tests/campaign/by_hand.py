"""Ten breaks such as people make; each would lose or duplicate data of a user.

No unit test may check that these texts stand in the code: it would go red on every break, and hide
what the other tests find. So the campaign itself refuses to begin where a text is missing.
"""

from pathlib import Path

import attrs

from .broken import Break

__all__ = ["BY_HAND", "ByHand", "by_hand"]


@attrs.frozen(kw_only=True)
class ByHand:
    """A break that replaces one text of a file by another.

    Attributes:
        what: description of the defect for the table.
        path: path of the file, relative to the project's root.
        before: the text to replace, which the file has exactly once.
        after: the new text.
    """

    what: str
    path: str
    before: str
    after: str

    def made(self, root: Path) -> Break:
        """Return the break of this file.

        Raises:
            ValueError: the file does not have the text exactly once; the message says what to do.
        """
        source = (root / self.path).read_text("utf-8")
        times = source.count(self.before)
        if times != 1:
            raise ValueError(
                f"the break by hand {self.what!r} expects this text once in {self.path}, and it is "
                f"there {times} times; adapt tests/campaign/by_hand.py to the code:\n{self.before}"
            )
        line = source[: source.index(self.before)].count("\n") + 1
        return Break(Path(self.path), self.what, line, source.replace(self.before, self.after))


_APPEND_TO_LOG = """\
        if write_plan.records and not write_plan.written:
            self._behind = True  # until the log has confirmed and the state store knows
            self._writer.append(write_plan.records)
            write_plan.written = True
"""
_STORE_STATE = """\
        if self._behind or cursors or write_plan.left_out:
            self._read_back(cursors, write_plan.left_out)
            self._cursors.update(cursors)
            self._behind = False
"""

BY_HAND = (
    ByHand(
        what="the collector stores its cursor before the log has confirmed",
        path="src/mastostream/collector/collect.py",
        before=_APPEND_TO_LOG + _STORE_STATE,
        after=_STORE_STATE + _APPEND_TO_LOG,
    ),
    ByHand(
        what="a window is (start, end] where it should be [start, end)",
        path="src/mastostream/core/windows.py",
        before="last = event_ms - event_ms % self.slide_ms",
        after="last = event_ms - 1 - (event_ms - 1) % self.slide_ms",
    ),
    ByHand(
        what="the SQLite index takes an older version for a newer one",
        path="src/mastostream/sinks/sqlite.py",
        before="WHERE excluded.version > version ",
        after="WHERE excluded.version <> version ",
    ),
    ByHand(
        what="the Elasticsearch index forgets the tombstone of a post that is deleted",
        path="src/mastostream/sinks/elasticsearch/index_writer.py",
        before="        self._ready = False\n        self._record_deletions()\n",
        after="        self._ready = False\n",
    ),
    ByHand(
        what="Flink SQL counts posts that are deleted",
        path="src/mastostream/engines/flink/sql/prelude.sql",
        before="deleted_ms IS NULL OR deleted_ms <= version_ms",
        after="TRUE",
    ),
    ByHand(
        what="the name of an archive file says one offset too many",
        path="src/mastostream/sinks/archive/sink.py",
        before="file.first, file.next - 1, suffix",
        after="file.first, file.next, suffix",
    ),
    ByHand(
        what="the mapping of Elasticsearch has the score as a word",
        path="src/mastostream/core/indices.py",
        before='"engagement_score": "long"',
        after='"engagement_score": "keyword"',
    ),
    ByHand(
        what="a simulated server's min_id page begins with the post that is named",
        path="src/mastostream/testing/simulator/timelines.py",
        before="for number in range(bisect_right(self._numbers, above)",
        after="for number in range(bisect_left(self._numbers, above)",
    ),
    ByHand(
        what="hashtags in letters of another width are tags of their own",
        path="src/mastostream/core/hashtags.py",
        before='unicodedata.normalize("NFKC", name).translate(',
        after='unicodedata.normalize("NFC", name).translate(',
    ),
    ByHand(
        what="the Kafka writer does not wait until Kafka has confirmed",
        path="src/mastostream/log/kafka/writer.py",
        before="        self._sender.send(records)\n        self._sender.flush()\n",
        after="        self._sender.send(records)\n",
    ),
)


def by_hand(root: Path) -> list[Break]:
    """Return the ten breaks.

    Raises:
        ValueError: a file does not have the text to replace exactly once.
    """
    return [replacement.made(root) for replacement in BY_HAND]
