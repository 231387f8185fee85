"""The approval page: a question of an agent, asked of its user by the hub itself.

Plain HTML that needs no script and may run none. The link is the right to answer, for its user alone; an
answer goes through the hub like any other, once, and the page then shows what became of it. A form is taken
from this page only: by its token, which no other page knows, and by its origin.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Final
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agenthub.errors import Conflict, HubError, Invalid, NotFound
from agenthub.interrupts import Interrupt, sign_in_page
from agenthub.runs import Task
from agenthub.service import Hub
from agenthub_mcp import elicit
from agenthub_mcp.approval import PATH, Approvals, Asked
from agenthub_mcp.approval_form import content_of, shown
from agenthub_mcp.calls import ORIGIN
from agenthub_mcp.server import WhoIs
from agenthub_mcp.standing import open_questions

log = logging.getLogger(__name__)

MOST_BYTES: Final = 256 << 10
STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0;color:#1a1a1a;background:#fff}"
    "main{max-width:40rem;margin:0 auto;padding:1.5rem}"
    "h1{font-size:1.4rem}"
    "blockquote{margin:1rem 0;padding:.75rem 1rem;background:#f2f4f7;white-space:pre-wrap;"
    "overflow-wrap:anywhere}"
    "label,small{display:block}label{font-weight:600}"
    "input,select,textarea{font:inherit;width:100%;box-sizing:border-box;padding:.4rem;"
    "border:1px solid #6b7280;border-radius:.25rem}"
    "textarea{font-family:ui-monospace,monospace}"
    "button{font:inherit;padding:.5rem 1rem;margin:0 .5rem 0 0;border-radius:.25rem;"
    "border:1px solid #1f4fd8;background:#1f4fd8;color:#fff}"
    "button.no{background:#fff;color:#1a1a1a;border-color:#6b7280}"
    ":focus-visible{outline:3px solid #f59e0b;outline-offset:2px}"
    ".wrong{color:#a11212;font-weight:600}"
    "@media(prefers-color-scheme:dark){body{background:#16181d;color:#eceef2}"
    "blockquote{background:#23262e}input,select,textarea,button.no{background:#1d2027;color:inherit}"
    ".wrong{color:#ff9b9b}}"
)
_DIGEST: Final = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "cache-control": "no-store",
    # the link is a right: no other site gets to see it
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_PAGE: Final = Template(files("agenthub_mcp").joinpath("approve.html").read_text("utf-8"))


class ApprovalPage:
    """The page, as a route."""

    def __init__(self, hub: Hub, approvals: Approvals, who_is: WhoIs) -> None:
        self.hub = hub
        self.approvals = approvals
        self.who_is = who_is
        self.route = Route(PATH + "/{token}", endpoint=self.serve, methods=["GET", "POST"])

    async def serve(self, request: Request) -> Response:
        """Show a question, or take its answer."""
        try:
            asked = self.approvals.read(request.path_params["token"], self.who_is(request))
            task = await self.hub.task(asked.who, asked.task_id)
            questions = {q.id: q for q in await open_questions(self.hub, asked.who, task)}
            question = questions.get(asked.question_id)
            if question is None:
                return _over(task)
            if request.method == "POST":
                return await self._answer(request, asked, task, question)
            return _ask(task, question, {}, None)
        except NotFound:
            return page(
                "This link is not valid",
                "It may be too old, or somebody else's. Ask for the question again.",
                status=404,
            )
        except HubError as error:
            log.info("an approval page could not be served: %s", error)
            return page("This does not work now", error.message, status=503)

    async def _answer(
        self, request: Request, asked: Asked, task: Task, question: Interrupt
    ) -> Response:
        if not self._is_own(request):
            return page("This form is not ours", "Open the link and answer there.", status=403)
        body = await _form(request)
        if body is None:
            return page("This is too much", "The answer is too long.", status=413)
        declined = body.get("action") == ["decline"]
        content = {} if declined else content_of(question, body)
        reply = types.ElicitResult(action="decline" if declined else "accept", content=content)
        try:
            answer = elicit.answer(question, reply)
        except Invalid as wrong:
            return _ask(task, question, body, wrong.message)
        try:
            await self.hub.resume(asked.who, task.thread_id, {question.id: answer}, origin=ORIGIN)
        except Conflict:
            # somebody else was quicker
            return _over(await self.hub.task(asked.who, asked.task_id))
        told = "You said no. The agent has been told." if declined else "The agent has your answer."
        return page("Thank you", f"{told} You can close this page.")

    def _is_own(self, request: Request) -> bool:
        """Whether a form comes from this page, as far as the browser says where it comes from."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("origin")
        if origin is None:
            return True
        own = {request.headers.get("host"), urlsplit(self.approvals.public_url or "").netloc}
        return urlsplit(origin).netloc in own - {None, ""}


def page(title: str, words: str, *, status: int = 200, more: str = "") -> Response:
    """A page of words; `more` is HTML."""
    body = f"<p>{escape(words)}</p>{more}" if words else more
    html = _PAGE.substitute(title=escape(title), style=STYLE, body=body)
    return HTMLResponse(html, status_code=status, headers=dict(HEADERS))


def _ask(
    task: Task, question: Interrupt, given: Mapping[str, list[str]], wrong: str | None
) -> Response:
    said = escape(elicit.in_words(question.value))
    where = sign_in_page(question.value)
    if where is not None:
        # a page of somebody else's, in a tab of its own: the answer is given here, afterwards
        there = escape(where)
        said += f'\n<a href="{there}" target="_blank" rel="noopener noreferrer">Open {there}</a>'
    problem = "" if wrong is None else f'<p class="wrong" role="alert">{escape(wrong)}</p>'
    # without an action the form goes to where it came from, token and all
    form = (
        f"<blockquote>{said}</blockquote>{problem}"
        f'<form method="post">{shown(question, given)}'
        '<p><button name="action" value="accept">Answer</button>'
        '<button class="no" name="action" value="decline" formnovalidate>Decline</button></p></form>'
    )
    title = f"The agent {task.agent} asks"
    return page(title, "", status=200 if wrong is None else 422, more=form)


def _over(task: Task) -> Response:
    what = {
        "working": "It has its answer, and the agent goes on.",
        "input_required": "It has its answer; the agent waits for another one.",
        "completed": "The agent has finished its task.",
        "failed": "The agent has failed.",
        "canceled": "The task was cancelled.",
    }
    return page("This question is closed", what[task.status], status=410)


async def _form(request: Request) -> dict[str, list[str]] | None:
    """What was sent; None when it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=None)
