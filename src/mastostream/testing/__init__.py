"""Public tools for tests: real and simulated servers, fakes, conformance suites, strategies."""
