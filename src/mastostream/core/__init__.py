"""The functional core: models of posts, and pure functions that analyse them.

Nothing here uses a clock, randomness, the environment, I/O or threads.
"""
