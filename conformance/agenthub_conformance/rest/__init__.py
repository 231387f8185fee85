"""The REST surface of the Agent Server as requirements, and checks of any server that speaks it.

The server must run the agents of `agenthub_conformance/fixtures/rest_agents.py`, under their names.
"""

from agenthub_conformance.rest.checks import CHECKS
from agenthub_conformance.rest.manifest import Outcome, run_all
from agenthub_conformance.rest.probe import connection
from agenthub_conformance.rest.requirements import REQUIREMENTS, Requirement

__all__ = ["CHECKS", "REQUIREMENTS", "Outcome", "Requirement", "connection", "run_all"]
