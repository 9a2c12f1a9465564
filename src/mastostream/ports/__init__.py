"""Ports: the protocols through which the pipeline uses the outside world."""
