"""What CrewAI has besides agents, each step on an object of its own, in lines of JSON. Run by a test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import crewai_teams as teams
from crewai import Crew, Flow, Task
from crewai.flow import human_feedback, listen, start
from pydantic import BaseModel

from agenthub.adapting import Inbound, Outcome
from agenthub.json import Json
from agenthub_conformance.adapter.recording import Recording
from agenthub_conformance.adapter.scripted import NOTES, note, notes
from agenthub_conformance.fixtures.crewai_contract import Scripted, _agent, lookup
from agenthub_crewai.adapter import CrewAIAdapter

ADAPTER = CrewAIAdapter()


class Draft(BaseModel):
    """A flow's state."""

    id: str = ""
    message: str = ""
    turns: int = 0


class Editor(Flow[Draft]):
    """Writes, asks who signs, and has it approved."""

    @start()
    async def write(self) -> str:
        self.state.turns += 1
        note(f"write {self.state.turns}")
        answer: Any = await _agent("tool_user", lookup).kickoff_async(self.state.message)
        return answer.raw

    @listen(write)
    def sign(self, text: str) -> str:
        return f"{text}, signed {self.ask('Who signs?')}"

    @listen(sign)
    @human_feedback(
        message="Shall it be published?", emit=["approved", "rejected"], llm=Scripted(model="judge")
    )
    def review(self, text: str) -> str:
        note("review")
        return text

    @listen("approved")
    def publish(self, reviewed: Any) -> str:
        return f"published: {reviewed.output}"

    @listen("rejected")
    def drop(self, reviewed: Any) -> str:
        return f"dropped: {reviewed.feedback}"


def crew() -> Crew:
    """One whose result a person reviews."""
    agent = _agent("chat")
    task = Task(
        description="{topic}", expected_output="A text.", agent=agent, human_input=True, name="t"
    )
    return Crew(name="writers", agents=[agent], tasks=[task])


def clear() -> None:
    """Forget what was noted."""
    Path(os.environ[NOTES]).write_text("", "utf-8")


async def step(obj: Any, state: Json, **given: Any) -> Outcome:
    """A step, and a line that says how it ended."""
    io = Recording()
    inbound = Inbound(thread_id="t", run_id="r", **given)
    out = await ADAPTER.step(obj, json.loads(json.dumps(state)), inbound, io)
    said = [message["content"] for message in out.messages]
    asks = [{"kind": a.kind, "prompt": a.prompt, "payload": a.payload} for a in out.asks]
    told = {"status": out.status, "said": said, "asks": asks, "usage": out.usage or {}}
    print(json.dumps({**told, "notes": notes()}), file=sys.stderr)
    clear()
    return out


async def talk(make: Any, text: str, *answers: Json, state: Json = None) -> Json:
    """A turn: a message, and answers to one question after the other."""
    message = {"id": "u", "role": "user", "content": text}
    out = await step(make(), state, kind="input", messages=[message])
    for answer in answers:
        given = {ask.id: answer for ask in out.asks}
        out = await step(make(), out.state, kind="answers", answers=given)
    return out.state


async def tale(name: str, make: Any, text: str, *answers: Json) -> None:
    """A turn as one line: its questions, what it said, and what was noted and used in each step."""
    given: dict[str, Any] = {
        "kind": "input",
        "messages": [{"id": "u", "role": "user", "content": text}],
    }
    asked, noted, used, said = list[Any](), list[Any](), list[int](), list[Any]()
    state: Json = None
    left = list(answers)
    while True:
        inbound = Inbound(thread_id="t", run_id="r", **given)
        out = await ADAPTER.step(make(), json.loads(json.dumps(state)), inbound, Recording())
        noted.append(sorted(notes()))
        clear()
        used.append((out.usage or {}).get("total_tokens", 0))
        said += [[m.get("name"), m["content"]] for m in out.messages if m["content"]]
        asked += [[ask.kind, ask.prompt, ask.key] for ask in out.asks]
        if out.status == "done" or not left:
            break
        answer, state = left.pop(0), out.state
        given = {"kind": "answers", "answers": {ask.id: answer for ask in out.asks}}
    line = {"of": name, "status": out.status, "asked": asked, "said": said}
    print(json.dumps({**line, "notes": noted, "used": used}), file=sys.stderr)


async def main() -> None:
    """All of it."""
    for obj in (crew(), Editor):
        print(json.dumps(ADAPTER.describe(obj).to_json()), file=sys.stderr)
    await talk(crew, "hello", "shorter", {"action": "accept"})
    state = await talk(lambda: Editor, "Oslo", "Ann", True)
    await talk(lambda: Editor, "Rome", "Bob", {"action": "decline"}, state=state)
    await tale("hierarchy", teams.hierarchy, "an order", True)
    await tale("line", teams.line, "a ball", "shorter", {"action": "accept"})
    await tale("reviews", teams.reviewed, "it", "improve", True, True)
    desk = lambda: teams.Desk  # noqa: E731  # a class is an agent, and no factory of one
    await tale("refund", desk, "a refund", True, {"approved": True}, "DHL")
    await tale("refused", desk, "a refund", True, {"approved": False})
    await tale("question", desk, "hello", "Ann")
    await tale("loop", lambda: teams.Counter, "go")
    await tale("letter", lambda: teams.Letter, "go", {"approved": False, "reason": "revise"}, True)
    await tale("flow in flow", lambda: teams.Office, "go", {"response": "Ann"}, True)
    await tale("plain state", lambda: teams.Plain, "hello", True)


asyncio.run(main())
