"""Pure models and functions: no clock, randomness, environment, I/O or threads."""
