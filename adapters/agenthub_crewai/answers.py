"""What people's answers mean to CrewAI, which wants them in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from agenthub.adapting import approval
from agenthub.json import Json, JsonObject
from agenthub_crewai import messages as m

DECLINED: Final = "The user declined this."
_DECIDES: Final = frozenset({"approved", "action", "decision", "type"})
"""Fields of an answer that say yes or no, as `approval` reads them."""
_AGREES: Final = re.compile("(?<![a-z])(approv|accept|agree|(yes|ok|okay)(?![a-z]))", re.IGNORECASE)
_REFUSES: Final = re.compile(
    "(?<![a-z])(disapprov|disagree|reject|declin|den[iy]|refus|revis|(no|not)(?![a-z]))",
    re.IGNORECASE,
)


def feedback(answer: Json) -> str:
    """An answer as feedback; empty where it accepts."""
    agreed, said = approval(answer)
    if agreed or answer in (None, ""):
        return ""
    return said or _words(answer) or DECLINED


def outcome(answer: Json, outcomes: Sequence[str]) -> str:
    """An answer in words: those that came with it, or which of the outcomes it means."""
    if isinstance(answer, str):
        return answer
    agreed, said = approval(answer)
    said = said or _words(answer)
    refusals = [one for one in outcomes if _REFUSES.search(one)]
    # `not_approved` is no approval
    meant = [o for o in outcomes if _AGREES.search(o) and o not in refusals] if agreed else refusals
    return said or next(iter(meant), None) or ("approved" if agreed else DECLINED)


def text(answer: Json) -> str:
    """An answer as a text; what forms wrap is taken out."""
    if isinstance(answer, dict):
        fields = cast("JsonObject", answer)
        if fields.get("action") in ("decline", "cancel"):
            return ""
        values = [value for name, value in fields.items() if name != "action"]
        if len(values) == 1:
            return text(values[0])
    return "" if answer is None else m.shown(answer)


def _words(answer: Json) -> str:
    """What an answer says that is no yes or no."""
    if isinstance(answer, bool) or (isinstance(answer, dict) and _DECIDES & answer.keys()):
        return ""
    return text(answer)
