"""Engines: they run the analyses of the core on a log, and have no analysis of their own."""
