"""ADK's open questions: calls of a session that are long-running and that nobody has answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agenthub.adapting import Ask, approval
from agenthub.json import Json, JsonObject
from agenthub_adk import messages as m

CONFIRM = f"{m.OWN}confirmation"
INPUT = f"{m.OWN}input"
AUTH = f"{m.OWN}credential"
TALKED_PAST = "Not executed: the user said something else instead of answering."
DECLINED = "The user declined this call."
_PLACE = ("invocation_id", "branch", "isolation_scope")
_OWN_HINT = "Please approve or reject the tool call"
"""What ADK says where a tool says nothing; it is for programmers."""


@dataclass(frozen=True, slots=True)
class Open:
    """A question: the call that asks it, and for a confirmation the call that waits for it."""

    id: str
    name: str
    args: JsonObject
    author: str
    place: JsonObject
    """Where in the session it was asked: its invocation, branch and scope."""

    @property
    def original(self) -> JsonObject:
        """The call that a confirmation is about: `{"id", "name", "args"}`."""
        return self.args.get("originalFunctionCall") or {}


def open_asks(events: Any) -> list[Open]:
    """What is open, oldest first. This is ADK's own rule, which it has in no public place."""
    found: dict[str, Open] = {}
    for event in events:
        if event.author == "user":
            for response in event.get_function_responses():
                found.pop(response.id, None)
        waiting = event.long_running_tool_ids or ()
        for call in event.get_function_calls():
            if call.id in waiting:
                args = m.plain(call.args or {})
                place = {name: getattr(event, name) for name in _PLACE}
                found[call.id] = Open(call.id, call.name, args, event.author, place)
    return list(found.values())


def answer(session: Any, given: Sequence[tuple[Open, JsonObject]]) -> Any:
    """The message that answers questions. An agent hears what is said in its own branch, and ADK puts a
    message in the branch of one of its answers: those to the others stand in the session before it, where
    all branches hear theirs when it goes on."""
    branches: dict[str, list[tuple[Open, JsonObject]]] = {}
    for one, response in given:
        branches.setdefault(str(one.place["branch"]), []).append((one, response))
    *others, last = (
        (some[0][0].place, m.responses([(one.id, one.name, r) for one, r in some]))
        for some in branches.values()
    )
    event_type = m.sdk("google.adk.events.event").Event
    for place, content in others:
        session.events.append(event_type(author="user", content=content, **place))
    return last[1]


def ask(asked: Open) -> Ask:
    """A question for people."""
    args = asked.args
    match asked.name:
        case str(name) if name == CONFIRM:
            confirmation: JsonObject = args.get("toolConfirmation") or {}
            tool = str(asked.original.get("name", "a tool"))
            hint = str(confirmation.get("hint") or "")
            if hint.startswith(_OWN_HINT):
                hint = ""
            payload: JsonObject = {"tool": tool, "args": asked.original.get("args") or {}}
            if confirmation.get("payload") is not None:
                payload["payload"] = confirmation["payload"]
            prompt = f"May the agent call {tool}? {hint}".strip()
            return Ask(id=asked.id, kind="approval", prompt=prompt, payload=payload, key=tool)
        case str(name) if name == INPUT:
            return Ask(
                id=asked.id,
                kind="input",
                prompt=str(args.get("message") or "The agent needs an answer."),
                payload=args.get("payload"),
                schema=args.get("response_schema") or args.get("responseSchema"),
                key=asked.author,
            )
        case str(name) if name == AUTH:
            prompt = "The agent needs access to an account."
            payload = {"auth": args.get("authConfig") or args}
            return Ask(id=asked.id, kind="auth", prompt=prompt, payload=payload, key=asked.author)
        case name:
            payload = {"tool": name, "args": args}
            return Ask(
                id=asked.id,
                kind="external",
                prompt=f"What does {name} give?",
                payload=payload,
                key=name,
            )


def answered(asked: Open, answer: Json) -> JsonObject:
    """An answer as ADK expects it."""
    fields = cast("JsonObject", answer) if isinstance(answer, dict) else {}
    if asked.name == CONFIRM:
        approved = _approved(fields, answer)
        return {"confirmed": approved, "payload": fields.get("payload")}
    if asked.name in (INPUT, AUTH) and fields:
        return fields
    if fields in ({"action": "decline"}, {"action": "cancel"}) or answer is None:
        return {"error": DECLINED}
    return fields or {"result": answer}


def reasons(asked: list[Open], answers: Mapping[str, Json]) -> dict[str, str]:
    """What was said along with refusals, by the ids of the calls that were refused."""
    refused = [one for one in asked if one.name == CONFIRM and one.id in answers]
    said = {str(one.original.get("id")): approval(answers[one.id])[1] for one in refused}
    return {call_id: text for call_id, text in said.items() if text}


def close(session: Any, asked: list[Open]) -> list[tuple[str, str]]:
    """Answer what is open with its being passed over, in the session: `(call id, name)` of the tools that
    will not run. What ADK keeps in a call's place while it waits becomes the reason."""
    passed = {
        str(one.original.get("id")) if one.name == CONFIRM else one.id: str(
            one.original.get("name") if one.name == CONFIRM else one.name
        )
        for one in asked
    }
    for event in session.events:
        for response in event.get_function_responses():
            if response.id in passed:
                response.response = {"error": TALKED_PAST}
    given = [(one.id, one.name, _passed(one)) for one in asked]
    event_type = m.sdk("google.adk.events.event").Event
    last = session.events[-1]
    session.events.append(
        event_type(
            author="user",
            invocation_id=last.invocation_id,
            branch=last.branch,
            content=m.responses(given),
        )
    )
    return [(id, name) for id, name in passed.items() if not name.startswith(m.OWN)]


def _passed(asked: Open) -> JsonObject:
    return {"confirmed": False} if asked.name == CONFIRM else {"error": TALKED_PAST}


def _approved(fields: JsonObject, answer: Json) -> bool:
    # the words of ADK's own clients, too
    if isinstance(fields.get("confirmed"), bool):
        return fields["confirmed"]
    return approval(answer)[0]
