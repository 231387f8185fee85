"""Questions of a tool (elicitation): as our asks, and our answers, as what the server takes for a reply.

Sampling and roots are not offered, and refused where a server wants them all the same: a model's credit
and a person's files are not a remote server's to ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from agenthub.adapting import Ask, approval
from agenthub.errors import AgentFailed
from agenthub.json import Json, JsonObject

ELICIT: Final = "elicitation/create"
URL_NEEDED: Final = -32042
"""A handshake-era server's error: somebody must have been at an address before the call can be made."""


def asks_of(requests: Mapping[str, JsonObject]) -> list[Ask]:
    """What a server wants to know: `{"method", "params"}` of each question by its key.

    Raises:
        AgentFailed: it wants something else than an answer of a person.
    """
    for request in requests.values():
        if request.get("method") != ELICIT:
            raise AgentFailed(
                f"the MCP server asks for {request.get('method')!r}, which this hub does not do for others"
            )
    return [_ask(key, request.get("params") or {}) for key, request in requests.items()]


def reply(answer: Json, request: JsonObject) -> JsonObject:
    """An answer as an elicitation's result: `{"action", "content"}`."""
    params: JsonObject = request.get("params") or {}
    fields = cast("JsonObject", answer) if isinstance(answer, dict) else None
    if fields is not None and fields.get("action") in ("accept", "decline", "cancel"):
        content = fields.get("content")
        accepted = fields["action"] == "accept" and isinstance(content, dict)
        return {"action": fields["action"], **({"content": content} if accepted else {})}
    if params.get("mode") == "url":
        return {"action": "accept" if approval(answer)[0] else "decline"}
    if answer is None:
        return {"action": "cancel"}
    if fields is not None:
        return {"action": "accept", "content": fields}
    properties: JsonObject = cast("JsonObject", params.get("requestedSchema") or {}).get(
        "properties", {}
    )
    if len(properties) == 1:
        return {"action": "accept", "content": {next(iter(properties)): answer}}
    # a yes or no to a whole form
    return {"action": "accept", "content": {}} if approval(answer)[0] else {"action": "decline"}


def _ask(key: str, params: JsonObject) -> Ask:
    prompt = str(params.get("message") or "The MCP server asks.")
    if params.get("mode") == "url":
        payload: JsonObject = {"url": params.get("url"), "id": params.get("elicitationId")}
        return Ask(id=key, kind="auth", prompt=prompt, payload=payload)
    schema = params.get("requestedSchema")
    return Ask(
        id=key,
        kind="input",
        prompt=prompt,
        schema=cast("JsonObject", schema) if isinstance(schema, dict) else None,
    )
