"""What an agent's declaration says for hosts that show it to users: prompts to begin with, and hints.

Checked where the project is read, so that a mistake can be named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from agenthub.agents import ANNOTATION_KEYS
from agenthub.errors import Invalid

PROMPT_KEYS: Final = {"name", "title", "description", "text", "arguments"}
ARGUMENT_KEYS: Final = {"name", "title", "description", "required"}
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ARGUMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def read_annotations(agent: Mapping[str, Any], where: str) -> dict[str, bool]:
    """The `annotations` of an agent. Raises `Invalid`."""
    given: Any = agent.get("annotations") or {}
    if not isinstance(given, dict):
        raise Invalid(f"{where}: annotations is a table")
    hints = cast("dict[str, Any]", given)
    _only(hints, set(ANNOTATION_KEYS), f"annotations of {where}")
    for key, value in hints.items():
        if not isinstance(value, bool):
            raise Invalid(f"annotations of {where}: {key} is true or false")
    return hints


def read_prompts(agent: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...]:
    """The `prompts` of an agent. Raises `Invalid`."""
    prompts = _tables(agent, "prompts", where)
    for prompt in prompts:
        of = f"prompt {prompt.get('name')!r} of {where}"
        _only(prompt, PROMPT_KEYS, of)
        _check(prompt, _NAME, of)
        if not isinstance(prompt.get("text"), str):
            raise Invalid(f"{of} needs a text")
        arguments = _tables(prompt, "arguments", of)
        for argument in arguments:
            named = f"argument {argument.get('name')!r} of {of}"
            _only(argument, ARGUMENT_KEYS, named)
            _check(argument, _ARGUMENT, named)
            if not isinstance(argument.get("required", False), bool):
                raise Invalid(f"{named}: required is true or false")
        _unique(arguments, f"arguments of {of}")
    _unique(prompts, f"prompts of {where}")
    return tuple(prompts)


def _check(body: Mapping[str, Any], name: re.Pattern[str], where: str) -> None:
    if not isinstance(body.get("name"), str) or not name.fullmatch(body["name"]):
        raise Invalid(f"{where} needs a name of letters, digits and _")
    for key in ("title", "description"):
        if not isinstance(body.get(key, ""), str):
            raise Invalid(f"{where}: {key} is a text")


def _tables(body: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    given: Any = body.get(key) or []
    if not isinstance(given, list) or not all(
        isinstance(one, dict) for one in cast("list[Any]", given)
    ):
        raise Invalid(f"{where}: {key} is a list of tables")
    return cast("list[dict[str, Any]]", given)


def _unique(named: list[dict[str, Any]], where: str) -> None:
    names = [one["name"] for one in named]
    if len(set(names)) < len(names):
        raise Invalid(f"{where}: two have the same name")


def _only(body: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = set(body) - known
    if unknown:
        raise Invalid(
            f"{where}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
