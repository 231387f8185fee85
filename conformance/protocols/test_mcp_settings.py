"""What there is to paste into MCP clients: one text for the command, the banner and the README."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from subprocess import run

import pytest

from agenthub.config import Config
from agenthub_server.cli import banner, settings

README = Path(__file__).parents[2] / "README.md"
URL = "http://127.0.0.1:2024"


def sections() -> dict[str, str]:
    """The settings by client."""
    parts = settings.text(f"{URL}/mcp").split("\n\n")
    return {where.removeprefix("# "): what for where, _, what in (p.partition("\n") for p in parts)}


def test_the_readme_shows_what_the_command_prints_for_the_default_address() -> None:
    argv = [sys.executable, "-m", "agenthub_server", "mcp", "--settings"]
    printed = run(argv, check=True, capture_output=True, text=True).stdout
    (shown,) = re.findall(
        r"^```text\n(# Claude Code.*?)^```$", README.read_text("utf-8"), re.M | re.S
    )
    assert printed == shown == settings.text(f"{URL}/mcp") + "\n"


def test_the_banner_names_the_command_that_prints_them_for_its_own_address() -> None:
    told = banner.text(Config(), [], {}, [])
    assert f"agenthub mcp --settings --url {URL}\n" in told


def test_an_endpoint_of_one_agent_is_taken_as_it_is() -> None:
    argv = [sys.executable, "-m", "agenthub_server", "mcp", "--settings", "--url"]
    printed = run([*argv, f"{URL}/mcp/greet/"], check=True, capture_output=True, text=True).stdout
    assert printed == settings.text(f"{URL}/mcp/greet") + "\n"


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("Claude Desktop", "mcpServers"),
        ("VS Code", "servers"),
        ("Cursor", "mcpServers"),
        ("Gemini CLI", "mcpServers"),
    ],
)
def test_what_goes_into_a_json_file_is_json_that_leads_to_the_hub(client: str, key: str) -> None:
    (text,) = (what for where, what in sections().items() if where.startswith(client))
    (server,) = json.loads(text)[key].values()
    address = server.get("url") or server.get("httpUrl") or server["args"][-1]
    assert address == f"{URL}/mcp"


def test_what_goes_into_a_toml_file_is_toml_that_leads_to_the_hub() -> None:
    (text,) = (what for where, what in sections().items() if where.startswith("Codex"))
    assert tomllib.loads(text)["mcp_servers"]["agent-hub"]["url"] == f"{URL}/mcp"
