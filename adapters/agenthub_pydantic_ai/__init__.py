"""The adapter for Pydantic AI: its agents, with approvals, external tools and typed output."""

from __future__ import annotations
