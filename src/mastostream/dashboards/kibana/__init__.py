"""Kibana: a dashboard on the Elasticsearch indices, written as Python, imported by its API."""

from mastostream.dashboards.kibana.lint import Problem, lint
from mastostream.dashboards.kibana.live_check import LIVE
from mastostream.dashboards.kibana.saved_objects import dashboard_id, saved_objects, to_ndjson

__all__ = ["LIVE", "Problem", "dashboard_id", "lint", "saved_objects", "to_ndjson"]
