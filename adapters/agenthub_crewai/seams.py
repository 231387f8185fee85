"""Where CrewAI meets the journal: at the classes of models and tools, because crews are made inside of flows
and share both. Outside of a step everything is as CrewAI has it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any, Final, cast

from agenthub.json import JsonObject
from agenthub_crewai import messages as m
from agenthub_crewai import people
from agenthub_crewai.journal import CALL, RUN, Run
from agenthub_crewai.telling import Answering

_ANSWERING: Final[ContextVar[bool]] = ContextVar("agenthub_crewai_answering", default=False)
"""A model's own classes call each other, and only the outermost call counts."""
_INSIDE: Final[ContextVar[str]] = ContextVar("agenthub_crewai_inside", default="")
"""The tool that runs, whose `invoke` may call its `run`."""


class ToolFailed(Exception):
    """A tool's error in an earlier attempt."""


@lru_cache
def install() -> None:
    """Put the seams in, once for the process."""
    base = m.sdk("crewai.llms.base_llm").BaseLLM
    wrap = base._wrap_call_method.__func__

    def wrap_call_method(cls: Any, name: str) -> None:
        wrap(cls, name)
        _model(cls, name)

    base._wrap_call_method = classmethod(wrap_call_method)
    for cls in _subclasses(base):
        _model(cls, "call")
        _model(cls, "acall")
    tools = m.sdk("crewai.tools.base_tool")
    for cls in (tools.BaseTool, tools.Tool):
        _tool(cls, "run")
        _tool(cls, "arun")
    structured = m.sdk("crewai.tools.structured_tool").CrewStructuredTool
    _tool(structured, "invoke")
    _tool(structured, "ainvoke")
    people.install()
    # panels for a terminal, which a worker has not
    m.sdk("crewai.events.event_listener").event_listener.formatter.console.quiet = True
    # several lines for each call of a model, none of which counts tokens beforehand
    logging.getLogger("crewai.llms.base_llm").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Using an approximate input token count")


def _subclasses(cls: Any) -> Generator[Any]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


# --- models -------------------------------------------------------------------------------------


def _model(cls: Any, name: str) -> None:
    original = cls.__dict__.get(name)
    if original is None or hasattr(original, "agenthub"):
        return

    @wraps(original)
    def call(self: Any, messages: Any, tools: Any = None, *args: Any, **how: Any) -> Any:
        run = RUN.get()
        if run is None or _ANSWERING.get():
            return original(self, messages, tools, *args, **how)
        key = _key(messages, tools, how)
        if (entry := run.take(run.models, key)) is not None:
            return _replayed(run, entry, how)
        run.save()
        with run.working(), _answering(run, self, how) as answer:
            if _is_async(self) and not run.here():
                # on the loop it can be cancelled, and its client has one loop all its life
                value = run.on_loop(self.acall(messages, tools, *args, **how))
            else:
                value = original(self, messages, tools, *args, **how)
            run.put(run.models, key, answer.ended(value))
        run.save()
        return value

    @wraps(original)
    async def acall(self: Any, messages: Any, tools: Any = None, *args: Any, **how: Any) -> Any:
        run = RUN.get()
        if run is None or _ANSWERING.get():
            return await original(self, messages, tools, *args, **how)
        key = _key(messages, tools, how)
        if (entry := run.take(run.models, key)) is not None:
            return _replayed(run, entry, how)
        await run.asave()
        with run.working(), _answering(run, self, how) as answer:
            value = await original(self, messages, tools, *args, **how)
            run.put(run.models, key, answer.ended(value))
        await run.asave()
        return value

    _set(cls, name, acall if name == "acall" else call)


def _key(messages: Any, tools: Any, how: JsonObject) -> str:
    names = [_name(t) for t in tools or ()]
    return m.digest(messages, names, getattr(how.get("response_model"), "__name__", None))


def _name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return str(tool)
    fields = cast("JsonObject", tool)
    return str(cast("JsonObject", fields.get("function", fields)).get("name"))


def _is_async(model: Any) -> bool:
    """Whether it has an `acall` of its own: the one that all inherit raises."""
    return cast("Any", type(model)).acall is not m.sdk("crewai.llms.base_llm").BaseLLM.acall


@contextmanager
def _answering(run: Run, model: Any, how: JsonObject) -> Generator[Answering]:
    """What a model does in one call: its pieces and its usage come as events."""
    answer = Answering(run, getattr(how.get("from_agent"), "role", None) or "")
    outermost, told = _ANSWERING.set(True), Answering.CURRENT.set(answer)
    stream = m.sdk("crewai.llms.base_llm").call_stream_override
    try:
        # typed answers come whole
        with stream(model, how.get("response_model") is None):
            yield answer
    finally:
        Answering.CURRENT.reset(told)
        _ANSWERING.reset(outermost)


def _replayed(run: Run, entry: JsonObject, how: JsonObject) -> Any:
    run.last = entry["text"]
    for call in entry["calls"]:
        run.calls.append({**call, "args": m.arguments(call["args"]), "listed": True})
    if entry["calls"]:
        return [m.called(call["id"], call["name"], call["args"]) for call in entry["calls"]]
    model = how.get("response_model")
    return model.model_validate(entry["value"]) if entry.get("typed") and model else entry["value"]


# --- tools --------------------------------------------------------------------------------------


def _tool(cls: Any, name: str) -> None:
    original = cls.__dict__.get(name)
    if original is None or hasattr(original, "agenthub"):
        return

    @wraps(original)
    def call(self: Any, *args: Any, **how: Any) -> Any:
        run = RUN.get()
        if run is None or _INSIDE.get() == self.name:
            return original(self, *args, **how)
        key = m.digest(self.name, args, how)
        if (entry := run.take(run.tools, key)) is not None:
            return _returned(entry)
        with run.working(), _inside(run, self.name):
            value = _journaled(run, key, lambda: original(self, *args, **how))
        run.save()
        return value

    @wraps(original)
    async def acall(self: Any, *args: Any, **how: Any) -> Any:
        run = RUN.get()
        if run is None or _INSIDE.get() == self.name:
            return await original(self, *args, **how)
        key = m.digest(self.name, args, how)
        if (entry := run.take(run.tools, key)) is not None:
            return _returned(entry)
        with run.working(), _inside(run, self.name):
            try:
                value = await original(self, *args, **how)
            except Exception as error:
                run.put(run.tools, key, {"error": str(error)})
                raise
            run.put(run.tools, key, {"value": m.plain(value)})
        await run.asave()
        return value

    _set(cls, name, acall if inspect.iscoroutinefunction(original) else call)


def _journaled(run: Run, key: str, call: Callable[[], Any]) -> Any:
    try:
        value = call()
    except Exception as error:
        run.put(run.tools, key, {"error": str(error)})
        raise
    run.put(run.tools, key, {"value": m.plain(value)})
    return value


def _returned(entry: JsonObject) -> Any:
    if "error" in entry:
        raise ToolFailed(entry["error"])
    return entry["value"]


@contextmanager
def _inside(run: Run, name: str) -> Generator[None]:
    token = _INSIDE.set(name)
    call = CALL.get()
    if call is not None and not call["begun"]:
        call["begun"] = True
        run.io.tool_start(call["id"], call["name"], call["args"], author=call["author"])
    try:
        yield
    finally:
        _INSIDE.reset(token)


def _set(cls: Any, name: str, seam: Any) -> None:
    seam.agenthub = True
    # CrewAI wraps what has not this mark
    seam._crewai_rate_limit_wrapped = True
    setattr(cls, name, seam)
