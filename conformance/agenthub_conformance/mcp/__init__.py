"""MCP as requirements beyond the official suite, checks of any server, and the suite itself.

The server must have the tools of the official suite: `agenthub_conformance/fixtures/mcp_suite.toml`, and
on our servers `AGENTHUB_MCP_FIXTURES=1`.
"""

from agenthub_conformance.mcp.checks import CHECKS
from agenthub_conformance.mcp.manifest import Outcome, run_all
from agenthub_conformance.mcp.requirements import REQUIREMENTS, Requirement

__all__ = ["CHECKS", "REQUIREMENTS", "Outcome", "Requirement", "run_all"]
