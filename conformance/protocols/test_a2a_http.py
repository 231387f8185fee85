"""A2A at its edge: cards, addresses, and requests that are refused before they are requests.

In process, over a hub that has a catalogue and nothing else: none of this may reach further.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from a2a.client import A2ACardResolver
from a2a.compat.v0_3.types import AgentCard as AgentCard03
from a2a.types.a2a_pb2 import AgentExtension
from a2a.utils.errors import ExtensionSupportRequiredError
from starlette.applications import Starlette
from starlette.requests import Request

from agenthub.agents import AgentInfo
from agenthub.catalogue import Agents
from agenthub.errors import Unauthenticated
from agenthub.ports import Catalogue, Deployed, Tail
from agenthub.principal import ANONYMOUS, Principal
from agenthub.service import Hub
from agenthub_a2a import A2A
from agenthub_a2a.card import GENERATION, require

BASE = "http://hub.test"
LIMIT = 4096
ECHO = AgentInfo(
    name="echo",
    description="Says what it hears.",
    code_version="7",
    input_schema={"type": "string"},
)
DECLARED = AgentInfo(
    name="declared",
    description="Has a card.",
    card={
        "examples": ["Do it."],
        "input_modes": ["text/plain"],
        "output_modes": ["application/json"],
        "provider": {"organization": "Acme", "url": "https://acme.example"},
        "icon_url": "https://acme.example/icon.png",
        "documentation_url": "https://acme.example/docs",
        "version": "3.1",
    },
)
SKILLED = AgentInfo(
    name="skilled",
    title="The Skilled",
    description="",
    skills=({"id": "sew", "name": "Sewing", "tags": ["craft"], "future": 1},),
)
BROKEN = Deployed(info=AgentInfo(name="broken", description=""), reason="cannot import it")
HELLO = {"message": {"messageId": "1", "role": "ROLE_USER", "parts": [{"text": "hello"}]}}


class Shelf:
    """A catalogue with fixed contents."""

    def __init__(self, deployed: Sequence[Deployed]) -> None:
        self.contents = deployed

    async def deployed(self, tenant: str) -> Sequence[Deployed]:
        return self.contents


def token_holder(request: Request) -> Principal:
    if request.headers.get("authorization") == "Bearer wrong":
        raise Unauthenticated("the token is not valid")
    return ANONYMOUS


def hub_of(agents: Agents) -> Hub:
    nothing = cast("Any", None)
    return Hub(
        agents=agents,
        runs=nothing,
        threads=nothing,
        states=nothing,
        streams=nothing,
        doorbell=nothing,
        assistants=nothing,
        archive=nothing,
        items=nothing,
        crons=nothing,
        deliveries=nothing,
        pushes=nothing,
        sessions=nothing,
    )


async def serving(
    *deployed: Deployed,
    public_url: str | None = None,
    default_agent: str | None = None,
    extensions: Sequence[AgentExtension] = (),
    card_compat: str = "strict",
) -> httpx.AsyncClient:
    agents = Agents(cast("Catalogue", Shelf(deployed)), cast("Tail", None), tenant="default")
    await agents.refresh()
    surface = A2A(
        hub_of(agents),
        public_url=public_url,
        default_agent=default_agent,
        principal=token_holder,
        max_body_bytes=LIMIT,
        card_compat=card_compat,
    )
    surface.operations.extensions = extensions
    app = Starlette(routes=list(surface.routes))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with await serving(Deployed(info=ECHO), Deployed(info=SKILLED), BROKEN) as client:
        yield client


def call(method: str, params: object, **extra: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": "call-1", "method": method, "params": params, **extra}


async def error_of(
    client: httpx.AsyncClient, body: object, **headers: str
) -> tuple[int, str | None, dict[str, Any]]:
    """Code, ErrorInfo reason and whole error of the answer to a call of `echo`."""
    headers["Content-Type"] = "application/json"
    content = json.dumps(body)
    response = await client.post("/agents/echo/a2a", content=content, headers=headers)
    assert response.status_code == 200
    error = response.json()["error"]
    reason = error["data"][0]["reason"] if "data" in error else None
    return error["code"], reason, error


async def test_the_card_says_how_to_reach_the_agent_and_what_it_can_do(
    client: httpx.AsyncClient,
) -> None:
    card = (await client.get("/agents/echo/.well-known/agent-card.json")).json()
    assert card == {
        "name": "echo",
        "description": "Says what it hears.",
        "version": "7",
        "supportedInterfaces": [
            {
                "url": f"{BASE}/agents/echo/a2a",
                "protocolBinding": binding,
                "protocolVersion": "1.0",
            }
            for binding in ("JSONRPC", "HTTP+JSON")
        ],
        "capabilities": {
            "streaming": True,
            "pushNotifications": True,
            "extendedAgentCard": False,
            "extensions": [card["capabilities"]["extensions"][0]],
        },
        "defaultInputModes": ["text/plain", "application/json"],
        "defaultOutputModes": ["text/plain", "application/json"],
        "skills": [
            {
                "id": "echo",
                "name": "echo",
                "description": "Says what it hears.",
                "tags": ["agent"],
            }
        ],
    }
    assert card["capabilities"]["extensions"][0]["uri"] == GENERATION


async def test_no_required_field_of_a_card_is_empty_however_little_the_agent_says(
    client: httpx.AsyncClient,
) -> None:
    card = (await client.get("/agents/skilled/.well-known/agent-card.json")).json()
    assert card["name"] == "The Skilled"
    assert card["description"] == "The agent The Skilled."
    assert card["version"] == "0"
    assert card["skills"] == [
        {
            "id": "sew",
            "name": "Sewing",
            "description": "The agent The Skilled.",
            "tags": ["craft"],
        }
    ]


async def test_a_card_has_what_the_agent_declares_for_it() -> None:
    async with await serving(Deployed(info=DECLARED)) as client:
        card = (await client.get("/agents/declared/.well-known/agent-card.json")).json()
        old = (await client.get("/agents/declared/v0.3/.well-known/agent-card.json")).json()
    assert card["provider"] == {"organization": "Acme", "url": "https://acme.example"}
    assert card["iconUrl"] == "https://acme.example/icon.png"
    assert card["documentationUrl"] == "https://acme.example/docs"
    assert (card["version"], card["skills"][0]["examples"]) == ("3.1", ["Do it."])
    assert card["defaultInputModes"] == ["text/plain"]
    assert card["defaultOutputModes"] == ["application/json"]
    for key in ("provider", "iconUrl", "documentationUrl", "version", "defaultInputModes"):
        assert old[key] == card[key]


async def test_declared_skills_are_those_of_the_card() -> None:
    skill = {"id": "sew", "name": "Sewing", "examples": ["Sew."], "output_modes": ["text/plain"]}
    info = AgentInfo(name="x", description="y", card={"skills": [skill], "examples": ["No."]})
    async with await serving(Deployed(info=info)) as client:
        card = (await client.get("/agents/x/.well-known/agent-card.json")).json()
    (shown,) = card["skills"]
    assert (shown["id"], shown["examples"], shown["outputModes"]) == (
        "sew",
        ["Sew."],
        ["text/plain"],
    )


NEW, OLD = {"supportedInterfaces"}, {"url", "protocolVersion", "preferredTransport"}


@pytest.mark.parametrize(
    ("policy", "named", "expected"),
    [
        ("strict", None, NEW), ("strict", "1.0", NEW), ("strict", "0.3", OLD),
        ("header", None, OLD), ("header", "1.0", NEW), ("header", "0.3", OLD),
        ("merge", None, NEW | OLD), ("merge", "1.0", NEW | OLD), ("merge", "0.3", OLD),
    ],
)  # fmt: skip
async def test_the_policy_decides_what_those_get_who_name_no_version(
    policy: str, named: str | None, expected: set[str]
) -> None:
    async with await serving(Deployed(info=ECHO), card_compat=policy) as client:
        for path in ("/agents/echo/.well-known/agent-card.json", "/.well-known/agent-card.json"):
            by_header = await client.get(path, headers={"A2A-Version": named} if named else None)
            by_query = await client.get(path, params={"A2A-Version": named} if named else None)
            assert by_header.json() == by_query.json()
            assert by_header.json().keys() & (NEW | OLD) == expected
            assert "A2A-Version" in by_header.headers["vary"]


async def test_a_merged_card_is_read_by_clients_of_both_generations() -> None:
    async with await serving(Deployed(info=ECHO), card_compat="merge") as client:
        body = (await client.get("/agents/echo/.well-known/agent-card.json")).json()
        new = await A2ACardResolver(client, f"{BASE}/agents/echo").get_agent_card()
    old = AgentCard03.model_validate(body)
    assert old.url == new.supported_interfaces[0].url == f"{BASE}/agents/echo/a2a"
    assert old.skills[0].id == new.skills[0].id == "echo"


async def test_clients_of_0_3_have_a_card_of_their_own_whatever_the_policy(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/agents/echo/v0.3/.well-known/agent-card.json")
    card = AgentCard03.model_validate(response.json())
    assert (card.url, card.protocol_version) == (f"{BASE}/agents/echo/a2a", "0.3")
    assert [i.transport for i in card.additional_interfaces or ()] == ["HTTP+JSON"]
    assert card.capabilities.push_notifications
    again = await client.get(
        "/agents/echo/v0.3/.well-known/agent-card.json",
        headers={"If-None-Match": response.headers["etag"]},
    )
    assert again.status_code == 304
    assert (await client.get("/agents/nobody/v0.3/.well-known/agent-card.json")).status_code == 404


async def test_the_catalogue_for_machines_has_every_agent_for_both_protocols(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/.well-known/ai-catalog.json")
    assert response.headers["content-type"] == "application/ai-catalog+json"
    catalog = response.json()
    assert catalog["specVersion"] == "1.0"
    entries = {e["identifier"]: e for e in catalog["entries"]}
    assert len(entries) == len(catalog["entries"]) == 4
    a2a = entries[f"{BASE}/agents/skilled/a2a"]
    assert a2a["mediaType"] == "application/a2a-agent-card+json"
    assert a2a["url"] == f"{BASE}/agents/skilled/.well-known/agent-card.json"
    assert (a2a["displayName"], a2a["tags"]) == ("The Skilled", ["craft"])
    mcp = entries[f"{BASE}/mcp/skilled"]
    assert mcp["mediaType"] == "application/mcp-server-card+json"
    assert mcp["data"]["remotes"] == [{"type": "streamable-http", "url": f"{BASE}/mcp/skilled"}]
    tag = response.headers["etag"]
    again = await client.get("/.well-known/ai-catalog.json", headers={"If-None-Match": tag})
    assert again.status_code == 304


async def test_the_official_resolver_reads_the_card_below_the_agents_address(
    client: httpx.AsyncClient,
) -> None:
    card = await A2ACardResolver(client, f"{BASE}/agents/echo").get_agent_card()
    assert card.supported_interfaces[0].url == f"{BASE}/agents/echo/a2a"


async def test_a_card_is_sent_once_and_then_confirmed_by_its_tag(client: httpx.AsyncClient) -> None:
    path = "/agents/echo/.well-known/agent-card.json"
    first = await client.get(path)
    assert "max-age=" in first.headers["cache-control"]
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_configured_public_address_stands_in_every_card_and_listing() -> None:
    async with await serving(Deployed(info=ECHO), public_url="https://hub.example/x/") as client:
        card = (await client.get("/agents/echo/.well-known/agent-card.json")).json()
        (listed,) = (await client.get("/agents")).json()["agents"]
    assert card["supportedInterfaces"][0]["url"] == "https://hub.example/x/agents/echo/a2a"
    assert listed["a2a"] == "https://hub.example/x/agents/echo/a2a"


async def test_the_only_agent_is_the_default_agent() -> None:
    async with await serving(Deployed(info=ECHO), BROKEN) as client:
        card = (await client.get("/.well-known/agent-card.json")).json()
    assert card["name"] == "echo"


async def test_of_several_agents_the_configured_one_is_the_default() -> None:
    both = (Deployed(info=ECHO), Deployed(info=SKILLED))
    async with await serving(*both, default_agent="skilled") as client:
        card = (await client.get("/.well-known/agent-card.json")).json()
    assert card["name"] == "The Skilled"


async def test_without_a_default_agent_the_root_card_says_where_to_look(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/.well-known/agent-card.json")
    assert response.status_code == 404
    assert "/agents" in response.json()["error"]["message"]


async def test_a_newly_published_agent_has_a_card_without_a_restart() -> None:
    shelf = Shelf([])
    agents = Agents(cast("Catalogue", shelf), cast("Tail", None), tenant="default")
    hub = hub_of(agents)
    surface = A2A(
        hub, public_url=None, default_agent=None, principal=token_holder, max_body_bytes=LIMIT
    )
    app = Starlette(routes=list(surface.routes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        path = "/agents/echo/.well-known/agent-card.json"
        assert (await client.get(path)).status_code == 404
        shelf.contents = [Deployed(info=ECHO)]
        await agents.refresh()
        first = await client.get(path)
        shelf.contents = [Deployed(info=replace(ECHO, description="Changed."))]
        await agents.refresh()
        changed = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.json()["description"] == "Changed."


async def test_the_listing_has_every_agent_and_why_one_is_not_available(
    client: httpx.AsyncClient,
) -> None:
    listed = {a["name"]: a for a in (await client.get("/agents")).json()["agents"]}
    assert listed["echo"]["card"] == f"{BASE}/agents/echo/.well-known/agent-card.json"
    assert listed["broken"] == {
        "name": "broken",
        "available": False,
        "reason": "cannot import it",
    }


@pytest.mark.parametrize(("agent", "status"), [("nobody", 404), ("broken", 503)])
async def test_an_agent_that_cannot_be_reached_is_an_http_error_with_a_json_rpc_body(
    client: httpx.AsyncClient, agent: str, status: int
) -> None:
    response = await client.post(f"/agents/{agent}/a2a", json=call("SendMessage", HELLO))
    assert response.status_code == status
    assert response.json()["jsonrpc"] == "2.0"
    assert repr(agent) in response.json()["error"]["message"]
    card = await client.get(f"/agents/{agent}/.well-known/agent-card.json")
    assert card.status_code == status


async def test_a_caller_that_is_not_known_is_challenged(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/agents/echo/a2a",
        json=call("SendMessage", HELLO),
        headers={"Authorization": "Bearer wrong"},
    )
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_interface_answers_with_and_without_a_trailing_slash(
    client: httpx.AsyncClient, slash: str
) -> None:
    response = await client.post(f"/agents/echo/a2a{slash}", json=call("Nonsense", {}))
    assert response.json()["error"]["code"] == -32601
    assert response.json()["id"] == "call-1"


async def test_a_body_that_declares_too_much_is_refused() -> None:
    async with await serving(Deployed(info=ECHO)) as client:
        response = await client.post(
            "/agents/echo/a2a",
            content=b" " * (LIMIT + 1),
            headers={"Content-Type": "application/json"},
        )
    assert response.status_code == 413
    assert str(LIMIT) in response.json()["error"]["message"]


async def test_a_body_that_turns_out_too_long_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024

    async with await serving(Deployed(info=ECHO)) as client:
        response = await client.post(
            "/agents/echo/a2a", content=endless(), headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 413
    assert sent <= LIMIT // 1024 + 2


async def test_what_is_not_sent_as_json_is_refused(client: httpx.AsyncClient) -> None:
    body = json.dumps(call("SendMessage", HELLO))
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        response = await client.post(
            "/agents/echo/a2a", content=body, headers={"Content-Type": content_type}
        )
        assert response.status_code == 415
        assert response.json()["error"]["code"] == -32005


@pytest.mark.parametrize("body", [b"{", b"", b'{"a": NaN}', b"\xff\xfe", b"[" * 3000])
async def test_malformed_json_is_a_parse_error(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(
        "/agents/echo/a2a", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 200
    assert response.json()["error"]["code"] == -32700
    assert response.json()["id"] is None


@pytest.mark.parametrize(
    "body",
    [
        [call("GetTask", {"id": "x"})],
        "text",
        None,
        {"id": 1, "method": "GetTask"},
        call("GetTask", {}, jsonrpc="1.0"),
        call("GetTask", {}, id=True),
        call("GetTask", {}, id={}),
    ],
)
async def test_what_is_not_a_json_rpc_request_is_an_invalid_request(
    client: httpx.AsyncClient, body: object
) -> None:
    code, reason, _ = await error_of(client, body)
    assert (code, reason) == (-32600, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("SendMessage", {"message": "hello"}),
        ("SendMessage", {"message": {**HELLO["message"], "parts": "hello"}}),
        ("SendMessage", {"message": {**HELLO["message"], "parts": []}}),
        ("SendMessage", {"message": {**HELLO["message"], "messageId": ""}}),
        ("SendMessage", {"message": {**HELLO["message"], "role": "ROLE_WIZARD"}}),
        ("SendMessage", {"message": {**HELLO["message"], "role": "ROLE_AGENT"}}),
        ("SendMessage", {"message": {**HELLO["message"], "role": 7}}),
        ("SendMessage", {"message": {**HELLO["message"], "parts": [{"text": "  \n"}]}}),
        ("SendMessage", {"message": {**HELLO["message"], "parts": [{}]}}),
        ("SendMessage", {"message": {**HELLO["message"], "contextId": "my-context"}}),
        ("SendMessage", {**HELLO, "configuration": {"historyLength": -1}}),
        ("SendMessage", []),
        ("SendMessage", {}),
        ("GetTask", {}),
        ("GetTask", {"id": 5}),
        ("ListTasks", {"status": "TASK_STATE_RUNNING"}),
        ("ListTasks", {"status": 99}),
        ("ListTasks", {"pageSize": 0}),
        ("ListTasks", {"pageSize": 101}),
        ("ListTasks", {"pageToken": "bm9uc2Vuc2U"}),
        ("ListTasks", {"statusTimestampAfter": "yesterday"}),
    ],
)
async def test_wrong_parameters_are_refused_before_anything_is_touched(
    client: httpx.AsyncClient, method: str, params: object
) -> None:
    code, reason, _ = await error_of(client, call(method, params))
    assert (code, reason) == (-32602, "INVALID_PARAMS")


async def test_a_context_id_that_is_no_uuid_is_refused_with_what_to_do_instead(
    client: httpx.AsyncClient,
) -> None:
    message = {**HELLO["message"], "contextId": "my-context"}
    _, _, error = await error_of(client, call("SendMessage", {"message": message}))
    assert "UUID" in error["message"]
    assert "leave it out" in error["message"]


async def test_files_are_refused_as_a_content_type(client: httpx.AsyncClient) -> None:
    for part in ({"raw": "aGk=", "mediaType": "image/png"}, {"url": "https://example.com/x.png"}):
        message = {**HELLO["message"], "parts": [part]}
        code, reason, _ = await error_of(client, call("SendMessage", {"message": message}))
        assert (code, reason) == (-32005, "CONTENT_TYPE_NOT_SUPPORTED")


@pytest.mark.parametrize("version", ["0.3", "1.7", "2.0", "latest"])
async def test_another_version_of_the_protocol_is_refused(
    client: httpx.AsyncClient, version: str
) -> None:
    body = call("GetTask", {"id": "x"})
    code, reason, _ = await error_of(client, body, **{"A2A-Version": version})
    assert (code, reason) == (-32009, "VERSION_NOT_SUPPORTED")
    asked = await client.post("/agents/echo/a2a", params={"A2A-Version": version}, json=body)
    assert asked.json()["error"]["code"] == -32009


@pytest.mark.parametrize("version", ["", "1.0", "1.0.1"])
async def test_1_0_is_spoken_and_is_meant_when_nothing_is_said(
    client: httpx.AsyncClient, version: str
) -> None:
    body = call("GetTask", {"id": "no-such-task"})
    code, reason, _ = await error_of(client, body, **{"A2A-Version": version})
    assert (code, reason) == (-32001, "TASK_NOT_FOUND")


@pytest.mark.parametrize("method", ["GetTask", "CancelTask", "SubscribeToTask"])
async def test_an_id_that_no_task_can_have_is_not_found(
    client: httpx.AsyncClient, method: str
) -> None:
    code, reason, _ = await error_of(client, call(method, {"id": "no-such-task"}))
    assert (code, reason) == (-32001, "TASK_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "url": "https://example.com"}),
        ("GetTaskPushNotificationConfig", {"taskId": "t", "id": "c"}),
        ("ListTaskPushNotificationConfigs", {"taskId": "t"}),
        ("DeleteTaskPushNotificationConfig", {"taskId": "t", "id": "c"}),
    ],
)
async def test_a_push_config_of_an_id_that_no_task_can_have_is_not_found(
    client: httpx.AsyncClient, method: str, params: object
) -> None:
    code, reason, _ = await error_of(client, call(method, params))
    assert (code, reason) == (-32001, "TASK_NOT_FOUND")


async def test_there_is_no_extended_card(client: httpx.AsyncClient) -> None:
    code, reason, _ = await error_of(client, call("GetExtendedAgentCard", {}))
    assert (code, reason) == (-32004, "UNSUPPORTED_OPERATION")


async def test_an_unforeseen_failure_tells_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    # this hub has nothing behind its catalogue, so a correct message fails inside
    code, _, error = await error_of(client, call("SendMessage", HELLO))
    assert code == -32603
    assert error["message"] == "the hub failed to process the request"
    assert "NoneType" not in json.dumps(error)


async def test_a_message_without_a_required_extension_is_refused() -> None:
    required = [AgentExtension(uri="urn:required", required=True)]
    async with await serving(Deployed(info=ECHO), extensions=required) as client:
        body = call("SendMessage", HELLO)
        code, reason, _ = await error_of(client, body)
        assert (code, reason) == (-32008, "EXTENSION_SUPPORT_REQUIRED")
        # declared, it comes further: to the hub that has nothing behind it
        declared, _, _ = await error_of(client, body, **{"A2A-Extensions": "urn:x, urn:required"})
        assert declared == -32603


def test_a_required_extension_must_be_declared_by_the_client() -> None:
    extensions = [
        AgentExtension(uri="urn:optional"),
        AgentExtension(uri="urn:required", required=True),
    ]
    require(extensions, {"urn:required"})
    with pytest.raises(ExtensionSupportRequiredError, match="urn:required"):
        require(extensions, {"urn:optional"})
