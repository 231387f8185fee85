"""The adapter for CrewAI: crews, flows and agents, with human input, feedback and approval hooks."""

from __future__ import annotations
