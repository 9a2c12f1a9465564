"""Public tools for tests: simulated and real servers, fakes, suites, strategies for hypothesis."""
