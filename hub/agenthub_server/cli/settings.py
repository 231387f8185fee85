"""Settings: what to paste into the well-known MCP clients, for one endpoint.

HTTP where a client can, a launched command (`agenthub mcp --stdio`) where it cannot. The README shows
the same text for the default address, and a test holds the two together.
"""

from __future__ import annotations

import json
from typing import Any

from agenthub.json import JsonObject

NAME = "agent-hub"


def text(url: str) -> str:
    """The settings of all clients, each under its name and the place where it belongs."""
    http: JsonObject = {"type": "http", "url": url}
    stdio: JsonObject = {"command": "agenthub", "args": ["mcp", "--stdio", "--url", url]}
    parts = [
        ("Claude Code", f"claude mcp add --transport http {NAME} {url}"),
        ("Claude Desktop: claude_desktop_config.json", _json("mcpServers", stdio)),
        ("VS Code: .vscode/mcp.json", _json("servers", http)),
        ("Cursor: ~/.cursor/mcp.json", _json("mcpServers", {"url": url})),
        ("Codex: ~/.codex/config.toml", f'[mcp_servers.{NAME}]\nurl = "{url}"'),
        ("Gemini CLI: ~/.gemini/settings.json", _json("mcpServers", {"httpUrl": url})),
        ("Any other that launches commands", f"agenthub mcp --stdio --url {url}"),
    ]
    return "\n\n".join(f"# {where}\n{what}" for where, what in parts)


def _json(key: str, server: dict[str, Any]) -> str:
    return json.dumps({key: {NAME: server}})
