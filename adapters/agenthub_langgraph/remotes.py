"""Asking agents that are elsewhere what they are, when a worker starts and then until each has answered.

One that does not answer is unavailable, with the reason, and takes nobody along: it is asked again in the
background, and served from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from agenthub.agents import slug
from agenthub.chance import spread
from agenthub.errors import HubError
from agenthub_langgraph import frameworks
from agenthub_langgraph.discovery import Discovered, Unasked, enter
from agenthub_langgraph.driver import to_graph

log = logging.getLogger(__name__)

FIRST_SECONDS: Final = 5.0
"""How long a worker's start waits for them; they answer side by side."""
LATER_SECONDS: Final = 15.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 60.0


async def ask(found: Discovered, environment: str, *, within: float = FIRST_SECONDS) -> bool:
    """Ask those that have not answered yet, side by side; says whether anything is new.

    What they are goes to `found.graphs` and `found.infos`, and why they are not to `found.failures`.
    """
    before = (len(found.graphs), dict(found.failures))
    waiting = list(found.unasked)
    answers = await asyncio.gather(*(_answer(one, within) for one in waiting))
    for one, answer in zip(waiting, answers, strict=True):
        if isinstance(answer, str):
            log.info("remote agent %r is not available: %s", one.name, answer)
            found.failures[one.name] = answer
            continue
        found.unasked.remove(one)
        found.failures.pop(one.name, None)
        for added, obj in answer:
            _enter(found, one, slug(f"{one.name}-{added}" if added else one.name), obj, environment)
    return (len(found.graphs), found.failures) != before


async def keep_asking(
    found: Discovered, environment: str, changed: Callable[[], Awaitable[None]]
) -> None:
    """Ask until all have answered, with pauses that grow; `changed` is called when something is new."""
    pause, news = FIRST_PAUSE_SECONDS, False
    while found.unasked or news:
        await asyncio.sleep(pause * spread(0.75, 1.25))
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        news = await ask(found, environment, within=LATER_SECONDS) or news
        try:
            if news:
                await changed()
                news = False
        except Exception as failed:  # the database is away: the next round tells it
            log.warning("cannot say which remote agents are available: %s", failed)


async def _answer(one: Unasked, within: float) -> Sequence[tuple[str, Any]] | str:
    """What an agent turns out to be, or why it is not available."""
    try:
        async with asyncio.timeout(within):
            return await one.adapter.ask(one.obj)
    except TimeoutError:
        return f"it did not answer within {within:g} s"
    except HubError as error:
        return error.message
    except ImportError as error:
        return f"{error}{frameworks.missing(error)}"
    except Exception as error:  # whatever the other side has sent: it is that agent's alone
        log.exception("remote agent %r cannot be asked", one.name)
        return f"{type(error).__name__}: {error}"


def _enter(found: Discovered, one: Unasked, name: str, obj: Any, environment: str) -> None:
    try:
        graph = to_graph(obj, one.adapter, name=name)
        enter(found, name, graph, one.source, environment)
    except Exception as error:  # what it says of itself makes no agent
        log.exception("remote agent %r cannot be served", name)
        found.failures[name] = f"{type(error).__name__}: {error}"
