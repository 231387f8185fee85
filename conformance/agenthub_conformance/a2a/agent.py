"""The agent of the official TCK and of the declarative suite: what it does is what they ask it to do.

The TCK says it by the prefix of the message's id, the declarative suite by that of its text; anything else is
completed. An ordinary agent, which `agenthub dev --conformance` serves. LangGraph reads the annotations as
they stand, so they must not be strings.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint, task
from langgraph.types import interrupt

from agenthub import emit

WORK_SECONDS: Final = 4.0
"""How long the suites want to see it working: twice as long as they wait for an event."""
URL: Final = "https://example.com/output.txt"


def done(words: str) -> None:
    """Complete the task with a message, and never answer with the message alone."""
    emit.message(words, direct=False)


async def work(seconds: float) -> None:
    """Be at work."""
    await asyncio.sleep(seconds)
    done("Done after delay")


def chunks() -> None:
    """One artifact in two parts."""
    emit.artifact("chunk-1 ", name="chunks", last=False)
    emit.artifact("chunk-2", name="chunks", append=True)


def asks(*questions: str) -> None:
    """Ask, one question after the other, and be done with the last answer."""
    for question in questions:
        interrupt({"question": question})
    done("Hello from TCK")


def signs_in() -> None:
    """Ask the user to sign in."""
    interrupt(emit.authorization(url="https://example.com/authorize", prompt="Sign in."))
    done("Hello from TCK")


def rejects() -> None:
    """Refuse."""
    raise emit.Rejected("rejected")


def fails() -> None:
    """Fail."""
    raise ValueError("as it was told to")


def shows(*parts: emit.Part) -> Callable[[], object]:
    """Something that emits one artifact."""
    return lambda: emit.artifact(parts, name="output.txt")


SCRIPTS: Final[dict[str, Callable[[], Awaitable[None] | object]]] = {
    "tck-complete-task": lambda: done("Hello from TCK"),
    "tck-delayed-complete": lambda: work(WORK_SECONDS / 2),
    "tck-artifact-text": shows("Generated text content"),
    "tck-artifact-file-url": shows(
        emit.File(url=URL, media_type="text/plain", filename="output.txt")
    ),
    "tck-artifact-file": shows(emit.File(b"tck", media_type="text/plain", filename="output.txt")),
    "tck-artifact-data": shows({"key": "value", "count": 42}),
    "tck-message-response": lambda: emit.message("Direct message response"),
    "tck-input-required": lambda: asks("What more?"),
    "tck-auth-required": signs_in,
    "tck-reject-task": rejects,
    "tck-stream-artifact-chunked": chunks,
    "tck-stream-artifact-text": shows("Streamed text content"),
    "tck-stream-artifact-file": shows(
        emit.File(b"tck", media_type="text/plain", filename="output.txt")
    ),
    "tck-stream-ordering-001": shows("Ordered output"),
    "tck-stream-001": shows("Stream hello from TCK"),
    "tck-stream-002": lambda: None,
    "tck-stream-003": shows("Stream task lifecycle"),
    "test-resubscribe-message-id": lambda: work(WORK_SECONDS),
    "tck-long-running": lambda: work(WORK_SECONDS),
    "tck-multi-turn": lambda: asks("What more?", "And?"),
    "tck-cancel": lambda: asyncio.Event().wait(),
    "tck-stream-basic": shows("basic"),
    "tck-stream-chunked": chunks,
    "tck-task-failure": fails,
}


@task
async def asked_for(message_id: str, text: str) -> str:
    """The script that a message asks for, if any; a step of its own, so that the answers to its questions
    ask for nothing else."""
    found = (name for said in (message_id, text) for name in SCRIPTS if said.startswith(name))
    return next(found, "")


@entrypoint()
async def tck(said: Any, config: RunnableConfig) -> Any:
    """Answers to the prefixes of the A2A suites, and completes everything else."""
    message_id = str(config.get("configurable", {}).get("a2a_message_id") or "")
    script = await asked_for(message_id, said if isinstance(said, str) else "")
    if not script:
        return {"said": said}
    doing = SCRIPTS[script]()
    if isinstance(doing, Awaitable):
        await doing
    return None
