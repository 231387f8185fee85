"""The A2A 1.0 specification as requirements, and checks of any server that speaks it.

The agent under test answers to the text prefixes of the declarative suite, as `agent.py` here does, which
`agenthub dev --conformance` serves; every check runs over every binding that the agent's card names.
"""

from agenthub_conformance.a2a.checks import CHECKS
from agenthub_conformance.a2a.manifest import Outcome, run_all
from agenthub_conformance.a2a.requirements import REQUIREMENTS, Requirement

__all__ = ["CHECKS", "REQUIREMENTS", "Outcome", "Requirement", "run_all"]
