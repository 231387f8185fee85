"""The frameworks that have an adapter: each is a lock in hub/locks, and fixtures for the adapter contract."""

from __future__ import annotations

from testkit.hub import FIXTURES

FRAMEWORKS = {
    "openai-agents": FIXTURES / "openai_agents_contract.py",
    "pydantic-ai": FIXTURES / "pydantic_ai_contract.py",
    "strands": FIXTURES / "strands_contract.py",
    "adk": FIXTURES / "adk_contract.py",
    "crewai": FIXTURES / "crewai_contract.py",
}
LACKS = {
    # approvals are the only pause that the SDK has
    ("openai-agents", "pause:value"),
}
"""Behaviours of the contract that are about what a framework does not have."""
