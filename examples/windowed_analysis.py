"""How many posts a minute come from bots?

Run it with ``mastostream analyze --mode sql --analysis windowed_analysis:BOTS``.
"""

from collections.abc import Sequence

from mastostream import Aggregate, Analysis, Post, Window


def is_bot(post: Post) -> bool:
    """Keep of each post whether a bot wrote it."""
    return post.account.bot


def count_bots(window: Window, values: Sequence[bool]) -> dict[str, object]:
    """Sum up a minute, again whenever its posts have changed."""
    return {
        "key": window.key,
        "observed_at": window.observed_at,
        "start": window.start,
        "posts": len(values),
        "by_bots": sum(values),
    }


BOTS = Analysis(name="bots", topic="bots", aggregate=Aggregate(value=is_bot, result=count_bots))
