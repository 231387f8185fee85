"""The hub's own installation as a requirement: a checkout, a wheel, or a release of an index.

A worker must have the code that its server has, wherever that came from: `agenthub` in an environment's
requirements means just this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

NAME: Final = "agenthub"
_OURS: Final = re.compile(r"^agenthub\s*(\[[^\]]*\])?\s*(?:$|[#;])", re.IGNORECASE)


def with_own(
    lines: Iterable[str], installed: Distribution | None = None
) -> tuple[Sequence[str], str]:
    """The lines with this installation in the place of `agenthub`, or behind them, and what tells it from
    another one: where its code is, or its version, and what it depends on."""
    found = installed or distribution(NAME)
    source = _source(found)
    replaced = [
        _requirement(source, match[1] or "") if (match := _OURS.match(line)) else line
        for line in lines
    ]
    if not any(_OURS.match(line) for line in lines):
        replaced.append(_requirement(source, ""))
    needs = "\n".join(sorted(found.requires or ()))
    return replaced, f"{source}\n{found.version}\n{needs}"


def _requirement(source: str, extras: str) -> str:
    if source.startswith("-e "):
        return f"{source}{extras}"
    if source.startswith("=="):
        return f"{NAME}{extras}{source}"
    return f"{NAME}{extras} @ {source}"


def _source(found: Distribution) -> str:
    """`-e FOLDER`, the URL of an archive, or `==VERSION` (PEP 610)."""
    text = found.read_text("direct_url.json")
    if text is None:
        return f"=={found.version}"
    url = str(json.loads(text)["url"])
    path = Path(unquote(urlsplit(url).path))
    if url.startswith("file:") and path.is_dir():
        return f"-e {path}"
    return url
