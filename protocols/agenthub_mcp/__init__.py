"""MCP: every agent of the hub as a tool, for clients of every protocol revision."""

from __future__ import annotations

from agenthub_mcp.surface import Mcp

__all__ = ["Mcp"]
