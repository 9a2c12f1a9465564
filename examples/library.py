"""The functions alone, without any pipeline: read statuses from a file and print the best.

Run it with ``python library.py statuses.jsonl``; ``mastostream archive compact --single
statuses.jsonl`` makes such a file of an archive.
"""

import argparse
import sys
from pathlib import Path

from mastostream import Post, Rejected, account_name, decode, engagement_score, hashtag_counts


def main() -> None:
    """Print the ten posts with the highest engagement, and what was no post."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="statuses as JSON, one a line")
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(f"there is no file {options.file}")

    items = [decode(line) for line in options.file.read_bytes().splitlines()]
    posts = [item for item in items if isinstance(item, Post)]
    for post in sorted(posts, key=engagement_score, reverse=True)[:10]:
        tags = " ".join(f"#{count.tag}" for count in hashtag_counts(post))
        print(f"{engagement_score(post):8}  {account_name(post)!a}  {tags!a}")
    for item in items:
        if isinstance(item, Rejected):
            print("no post:", "; ".join(item.reasons), file=sys.stderr)


if __name__ == "__main__":
    main()
