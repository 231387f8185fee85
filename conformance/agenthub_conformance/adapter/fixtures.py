"""What an adapter's author provides: agents whose models follow the scripts in `scripted`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agenthub.adapting import Adapter
from agenthub.importing import module_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixtures:
    """An adapter and agents of its framework; None for what the framework does not have, which skips the
    behaviours that need it.

    Every scripted model calls `note("model")` at the start of a call, then does what `play(NAME, …)`
    says, in at least two pieces where it is a text, and reports `usage`. Every tool calls
    `note("tool NAME")`.

    `chat`: no tools. `tool_user`: the tool `lookup(city: str)`, which returns `f"sunny in {city}"`.
    `approver`: the tool `pay(amount: int)`, which needs approval and returns `f"paid {amount}"`.
    `double`: the same tool, called twice at once. `typed`: its output has `city: str` and `degrees: int`.
    `asker`: a pause that wants a value and not an approval; the value reaches the model as a tool's
    output or as a message. `slow`: its model awaits `hang()`. `failing`: its model raises
    `RuntimeError("the model is on fire")`.
    """

    adapter: Adapter
    chat: Any
    tool_user: Any
    failing: Any
    slow: Any
    approver: Any = None
    double: Any = None
    typed: Any = None
    asker: Any = None
    usage: Mapping[str, int] = field(
        default_factory=lambda: {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    )
    """What one call of a model reports; empty when the framework reports nothing."""


def load(target: str) -> Fixtures:
    """The fixtures of MODULE_OR_FILE:OBJECT.

    Raises:
        TypeError: it is something else.
    """
    module, _, name = target.rpartition(":")
    found = getattr(module_of(module), name)
    if not isinstance(found, Fixtures):
        raise TypeError(f"{target} is {type(found).__name__}, not Fixtures")
    return found
