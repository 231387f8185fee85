"""Agents that are elsewhere: A2A agents and MCP servers of others, as agents of this hub.

from agenthub_remote import RemoteA2A, RemoteMcp

research = RemoteA2A("https://agents.example.com/research")
search = RemoteMcp("https://tools.example.com/mcp", tool="search")
"""

from agenthub_remote.agents import RemoteA2A, RemoteMcp

__all__ = ["RemoteA2A", "RemoteMcp"]
