"""Whether saved objects would work, as far as can be told without Kibana."""

from mastostream.dashboards.kibana.lint.lint import lint
from mastostream.dashboards.kibana.lint.problems import Problem, Rule

__all__ = ["Problem", "Rule", "lint"]
