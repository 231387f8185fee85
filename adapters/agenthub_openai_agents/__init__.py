"""The adapter for the OpenAI Agents SDK: `agents.Agent`, with its handoffs, approvals and typed output."""

from __future__ import annotations
