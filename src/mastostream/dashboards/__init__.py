"""Views of the results: in the terminal, in Kibana, and as Prometheus metrics."""
