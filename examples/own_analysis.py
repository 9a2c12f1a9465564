"""Which posts ask a question?

Run it with ``mastostream analyze --analysis own_analysis:QUESTIONS``.
"""

from mastostream import Analysis, Post, account_name, plain_text


def question(post: Post) -> dict[str, object] | None:
    """Return a record for a post with a question mark in its text."""
    if "?" not in plain_text(post.content):
        return None
    return {"key": post.key, "account": account_name(post), "observed_at": post.observed_at}


QUESTIONS = Analysis(name="questions", topic="questions", function=question)
