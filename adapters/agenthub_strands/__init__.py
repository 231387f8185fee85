"""The adapter for Strands Agents: agents, graphs and swarms, with interrupts and typed output."""

from __future__ import annotations
