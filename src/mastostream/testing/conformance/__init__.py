"""Conformance suites: pytest classes that check an adapter of a port, one module for each port."""
