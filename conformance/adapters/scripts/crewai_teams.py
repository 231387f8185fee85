"""Crews and flows of several parts, whose models say what their roles are for; by `crewai_kinds.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from crewai import Agent, Crew, Flow, Process, Task
from crewai.flow import and_, human_feedback, listen, or_, router, start
from crewai.llms.base_llm import LLMCallType, llm_call_context
from crewai.tools import tool
from pydantic import BaseModel

from agenthub_conformance.adapter.scripted import note
from agenthub_conformance.fixtures.crewai_contract import USED, Scripted, _call, pay

DELEGATE = "delegate_work_to_coworker"


class Clerk(Scripted):
    """Notes its role, and says what `answer` makes of the texts and of what tools gave."""

    answer: Any = None

    async def acall(self, messages: Any, tools: Any = None, *_: Any, **how: Any) -> Any:
        with llm_call_context():
            self._emit_call_started_event(messages=messages)
            note(f"model {self.model}")
            text = "\n".join(str(m["content"]) for m in messages if m["role"] != "tool")
            outputs = [str(m["content"]) for m in messages if m["role"] == "tool"]
            said: Any = self.answer(text, outputs)
            if isinstance(said, str):
                for word in said.split(" "):
                    self._emit_stream_chunk_event(f"{word} ")
            else:
                said = [_call(*one) for one in said]
            kind = LLMCallType.LLM_CALL
            self._emit_call_completed_event(said, kind, messages=messages, usage=USED)
            return said


def agent(role: str, answer: Callable[[str, list[str]], Any], *tools: Any, **how: Any) -> Agent:
    return Agent(
        role=role,
        goal=f"Plays {role}.",
        backstory="None.",
        llm=Clerk(model=role, answer=answer),
        tools=list(tools),
        **how,
    )


def paying(text: str, outputs: list[str]) -> Any:
    return f"done: {outputs[-1]}" if outputs else [("pay-1", "pay", {"amount": 7})]


def delegating(text: str, outputs: list[str]) -> Any:
    if outputs:
        return f"the cashier says: {outputs[-1]}"
    given = {"task": "Pay 7", "context": "An order", "coworker": "cashier"}
    return [("delegate-1", DELEGATE, given)]


def hierarchy() -> Crew:
    """A manager that delegates to a cashier, whose tool needs approval."""
    cashier = agent("cashier", paying, pay)
    task = Task(description="Settle {topic}", expected_output="A receipt.")
    manager = Clerk(model="manager", answer=delegating)
    return Crew(
        name="shop",
        agents=[cashier],
        tasks=[task],
        process=Process.hierarchical,
        manager_llm=manager,
    )


def line() -> Crew:
    """Two tasks side by side, and one that builds on both, which a person reviews."""
    colour = agent("painter", lambda text, _: "red")
    shape = agent("drawer", lambda text, _: "round")
    writer = agent(
        "writer",
        lambda text, _: " ".join(w for w in ("shorter", "red", "round") if w in text),
    )
    first = Task(
        description="Colour of {topic}", expected_output="c", agent=colour, async_execution=True
    )
    second = Task(
        description="Shape of {topic}", expected_output="s", agent=shape, async_execution=True
    )
    last = Task(
        description="Describe it",
        expected_output="d",
        agent=writer,
        context=[first, second],
        human_input=True,
    )
    return Crew(name="line", agents=[colour, shape, writer], tasks=[first, second, last])


def reviewed() -> Crew:
    """Two tasks in a row that a person reviews, the second on the first one's result."""
    one = agent("one", lambda text, _: "better" if "improve" in text else "good")
    two = agent("two", lambda text, _: "built on better" if "better" in text else "built on good")
    first = Task(description="Do {topic}", expected_output="x", agent=one, human_input=True)
    last = Task(
        description="Go on", expected_output="y", agent=two, context=[first], human_input=True
    )
    return Crew(name="reviewed", agents=[one, two], tasks=[first, last])


class Order(BaseModel):
    """A flow's state."""

    id: str = ""
    message: str = ""
    kind: str = ""
    steps: list[str] = []
    paid: str = ""


@tool
def weigh(number: str) -> str:
    """Weighs an order."""
    note("tool weigh")
    return f"{number} weighs 3 kg"


def weighing(text: str, outputs: list[str]) -> Any:
    return outputs[-1] if outputs else [("weigh-1", "weigh", {"number": "A-17"})]


class Desk(Flow[Order]):
    """Sorts an order, has parts of it done side by side, pays, and has it signed."""

    @start()
    def read(self) -> str:
        self.state.steps.append("read")
        note("method read")
        return self.state.message

    @router(read)
    def sort(self, text: str) -> str:
        self.state.kind = "refund" if "refund" in text else "question"
        return self.state.kind

    @listen("question")
    def answer(self) -> str:
        self.state.steps.append("answer")
        who = self.ask("Who are you?")
        return f"hello {who}"

    @listen("refund")
    def weight(self) -> str:
        note("method weight")
        crew = Crew(
            agents=[(scales := agent("scales", weighing, weigh))],
            tasks=[Task(description="Weigh it", expected_output="w", agent=scales)],
        )
        return str(crew.kickoff().raw)

    @listen("refund")
    async def payment(self) -> str:
        note("method payment")
        cashier = agent("cashier", paying, pay)
        task = Task(description="Pay it", expected_output="p", agent=cashier)
        self.state.paid = (await Crew(agents=[cashier], tasks=[task]).kickoff_async()).raw
        return self.state.paid

    @listen(and_(weight, payment))
    @human_feedback(
        message="Shall it be sent?", emit=["approved", "refused"], llm=Scripted(model="judge")
    )
    def settle(self) -> str:
        note("method settle")
        self.state.steps.append("settle")
        return f"{self.state.paid}"

    @listen("approved")
    def send(self, reviewed: Any) -> str:
        return f"sent, {self.ask('Which carrier?')}"

    @listen("refused")
    def keep(self, reviewed: Any) -> str:
        return f"kept: {reviewed.feedback}"

    @listen(or_(answer, send, keep))
    def close(self, result: str) -> str:
        self.state.steps.append("close")
        return f"{result} [{', '.join(self.state.steps)}]"


class Counter(Flow[Order]):
    """A loop: a router that comes back to a method, until it has been there three times."""

    @start("again")
    def count(self) -> int:
        self.state.steps.append("count")
        return len(self.state.steps)

    @router(count)
    def more(self, n: int) -> str:
        return "again" if n < 3 else "enough"

    @listen("enough")
    async def end(self) -> str:
        await asyncio.sleep(0)
        return json.dumps(self.state.steps)


class Plain(Flow):
    """A flow whose state is a dict, whose crew pauses in a sync method."""

    @start()
    def work(self) -> str:
        cashier = agent("cashier", paying, pay)
        task = Task(description="Pay it", expected_output="p", agent=cashier)
        self.state["receipt"] = Crew(agents=[cashier], tasks=[task]).kickoff().raw
        return self.state["receipt"]

    @listen(work)
    def tell(self, receipt: str) -> str:
        return f"{receipt} for {self.state.get('message')}"


class Letter(Flow[Order]):
    """Writes until a person is content: each refusal leads back to the desk."""

    @start()
    def begin(self) -> str:
        return "draft"

    @listen(or_(begin, "revise"))
    @human_feedback(message="Is it good?", emit=["approved", "revise"], llm=Scripted(model="judge"))
    async def write(self, given: Any) -> str:
        note("method write")
        told = getattr(given, "feedback", "")
        writer = agent("writer", lambda text, _: "short" if "shorter" in text else "long")
        made = await writer.kickoff_async(f"Write. {told}")
        return made.raw

    @listen("approved")
    def post(self, reviewed: Any) -> str:
        return f"posted: {reviewed.output}"


class Signing(Flow[Order]):
    """A flow inside of another."""

    @start()
    @human_feedback(message="Do you sign?")
    def sign(self) -> str:
        note("method sign")
        return "the paper"

    @listen(sign)
    def told(self, reviewed: Any) -> str:
        return f"{reviewed.output} signed {reviewed.feedback}"


class Office(Flow[Order]):
    """Has a paper signed by another flow, and an agent pay that asks first."""

    @start()
    async def paper(self) -> str:
        note("method paper")
        return str(await Signing().kickoff_async())

    @listen(paper)
    def pay(self, signed: str) -> str:
        made: Any = agent("cashier", paying, pay).kickoff("Pay it")
        return f"{signed}, {made.raw}"
