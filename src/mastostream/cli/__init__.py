"""The command ``mastostream``."""

from mastostream.cli.main import main

__all__ = ["main"]
