"""What a push notification carries, and to whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from agenthub.deliveries import Delivery
from agenthub.ids import new_id
from agenthub.pushes import PushConfig, order_key
from agenthub_a2a.letters import TaskLetters

TASK = new_id()
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONFIG = PushConfig(
    config_id="c",
    url="https://hook.test/x",
    host="hook.test",
    notes={"version": "1.0", "token": "tick", "scheme": "Bearer", "credentials": "secret"},
)
DELIVERY = Delivery(
    tenant="default", delivery_id=new_id(), kind="task.ended", run_id=TASK, target=CONFIG.url,
    host=CONFIG.host, state="sending", attempts=1, epoch=1, order_key=order_key(TASK, "c"),
    payload=b"as it was", available_at=NOW, give_up_at=NOW, created_at=NOW,
)  # fmt: skip


class Stored:
    """The configs of one task, and no task."""

    def __init__(self, *configs: PushConfig) -> None:
        self.configs = configs

    async def list(self, _: str, task_id: UUID) -> Sequence[PushConfig]:
        return self.configs if task_id == TASK else ()

    async def task(self, _: str, __: UUID) -> None:
        return None


def letters(*configs: PushConfig) -> TaskLetters:
    stored = cast("Any", Stored(*configs))
    return TaskLetters(runs=stored, log=stored, agents=stored, pushes=stored)


async def test_what_was_tried_is_sent_again_as_it_was_with_the_secrets_of_its_config() -> None:
    letter = await letters(CONFIG)(DELIVERY)
    assert letter is not None
    assert letter.body == b"as it was"
    assert letter.headers["authorization"] == "Bearer secret"
    assert letter.headers["x-a2a-notification-token"] == "tick"


async def test_an_old_address_does_not_get_the_secrets_of_the_new_one() -> None:
    letter = await letters(replace(CONFIG, url="https://new.test"))(DELIVERY)
    assert letter is not None
    assert set(letter.headers) == {"content-type"}


async def test_of_a_config_or_a_task_that_is_gone_nothing_is_told() -> None:
    assert await letters()(DELIVERY) is None
    assert await letters(replace(CONFIG, config_id="other"))(DELIVERY) is None
    assert await letters(CONFIG)(replace(DELIVERY, payload=None)) is None
