"""The dashboard ``Mastodon live`` for Kibana: written in Python, imported over Kibana's API."""

from mastostream.dashboards.kibana.lint import Problem, lint
from mastostream.dashboards.kibana.live_dashboard import LIVE
from mastostream.dashboards.kibana.saved_objects import dashboard_id, saved_objects, to_ndjson

__all__ = ["LIVE", "Problem", "dashboard_id", "lint", "saved_objects", "to_ndjson"]
