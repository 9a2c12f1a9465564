"""A linter for saved objects: finds, without Kibana, what would not work there."""

from mastostream.dashboards.kibana.lint.lint import lint
from mastostream.dashboards.kibana.lint.problems import Problem, Rule

__all__ = ["Problem", "Rule", "lint"]
