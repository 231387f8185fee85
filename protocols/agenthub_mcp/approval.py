"""Approvals: questions that are answered on a page of the hub, and not through the client.

A question goes there when its answer is not for the client to see (`{"sensitive": true}`, or a sign-in), when
no form of the protocol could hold it, or when the client knows no other way. The link is sealed: it names the
question and the user, for whom alone it is good, and it ends with the time that a question may lie with a
client.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from agenthub.errors import NotFound
from agenthub.interrupts import Interrupt, asks_to_sign_in
from agenthub.json import JsonObject, dumps, loads
from agenthub.principal import Principal
from agenthub_mcp.caller import Caller
from agenthub_mcp.elicit import SENSITIVE, Link
from agenthub_mcp.forms import form

PATH: Final = "/approve"
LINK_SECONDS: Final = 7 * 86_400.0
PURPOSE: Final = b"agenthub approval page"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a link is good for."""

    who: Principal
    task_id: UUID
    question_id: str


class Approvals:
    """Makes links and reads them. `public_url` is the hub's address; default: from the request."""

    def __init__(self, state_keys: Sequence[bytes], *, public_url: str | None) -> None:
        # keys of their own: what was sealed for one purpose opens for no other
        self._codec = AESGCMRequestStateCodec(
            [hmac.digest(key, PURPOSE, "sha256") for key in state_keys]
        )
        self.public_url = public_url

    def links(self, caller: Caller, task_id: UUID) -> Link:
        """The pages of a task's questions, as far as this caller's user is sent there."""
        modes = caller.modes

        def link(question: Interrupt) -> str | None:
            if not by_page(question, modes):
                return None
            token = self.seal(Asked(caller.who, task_id, question.id))
            return f"{(self.public_url or caller.base_url).rstrip('/')}{PATH}/{token}"

        return link

    def seal(self, asked: Asked) -> str:
        """The token of a link."""
        return self._codec.seal(
            dumps(
                {
                    "tenant": asked.who.tenant,
                    "subject": asked.who.subject,
                    "task": str(asked.task_id),
                    "question": asked.question_id,
                    "until": time.time() + LINK_SECONDS,
                }
            )
        )

    def read(self, token: str, who: Principal) -> Asked:
        """What a token is good for, when this user comes with it.

        Raises:
            NotFound: it is not ours, not theirs, or too old.
        """
        try:
            body: JsonObject = loads(self._codec.unseal(token))
        except (InvalidRequestState, ValueError):
            raise _no_such_link() from None
        theirs = (body["tenant"], body["subject"]) == (who.tenant, who.subject)
        if not theirs or body["until"] < time.time():
            raise _no_such_link()
        return Asked(who, UUID(body["task"]), body["question"])


def by_page(question: Interrupt, modes: frozenset[str]) -> bool:
    """Whether a question is answered on its page by users of clients with these modes."""
    if "url" not in modes:
        return False
    return (
        "form" not in modes or is_sensitive(question) or form(question.response_schema)[0] == "json"
    )


def is_sensitive(question: Interrupt) -> bool:
    """Whether the agent says that the answer is not for the client to see, or wants its user to sign in."""
    value = question.value
    told = isinstance(value, dict) and cast("JsonObject", value).get(SENSITIVE) is True
    return told or asks_to_sign_in(value)


def _no_such_link() -> NotFound:
    return NotFound("this link is not valid, or not any more; ask for the question again")
