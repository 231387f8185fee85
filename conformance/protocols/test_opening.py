"""What a person reads who starts a hub that cannot start."""

from __future__ import annotations

import pytest

from agenthub.errors import Invalid
from agenthub_server import memory
from agenthub_server.wiring import open_hub
from testkit.hub import settings


async def test_what_keeps_a_hub_from_starting_is_said_as_it_is(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise Invalid("this database cannot search by meaning")

    monkeypatch.setattr(memory, "memory_of", refuse)
    # not inside a group of exceptions, of which the command line could tell no sentence
    with pytest.raises(Invalid, match="cannot search by meaning"):
        async with open_hub(settings(dsn, None)):
            pass
