"""What adapters share: reading an approval from what any surface may send."""

from __future__ import annotations

from typing import Any

import pytest

from agenthub.adapting import approval

YES: list[Any] = [
    True, "yes", "Yes!", "approve", {"approved": True}, {"approved": "yes"}, {"action": "accept"},
    {"type": "approve"}, {"decision": "allow"},
]  # fmt: skip
NO: list[Any] = [
    False, None, "no", "yes but not now", "", 1, [], ["yes"], {}, {"approved": False},
    {"action": "decline"}, {"action": "cancel"}, {"type": "reject"}, {"response": "yes"},
]  # fmt: skip


@pytest.mark.parametrize("answer", YES)
def test_a_clear_yes_approves_in_the_words_of_any_surface(answer: Any) -> None:
    assert approval(answer)[0]


@pytest.mark.parametrize("answer", NO)
def test_anything_but_a_clear_yes_does_not_approve(answer: Any) -> None:
    assert not approval(answer)[0]


@pytest.mark.parametrize("key", ["response", "reason", "message", "feedback"])
def test_what_is_said_along_with_an_answer_is_kept(key: str) -> None:
    assert approval({"approved": False, key: "too much"}) == (False, "too much")
