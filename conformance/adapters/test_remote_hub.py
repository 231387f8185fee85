"""A hub whose agents are another hub's: over each of its surfaces, and while the other one is away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from a2a.types.a2a_pb2 import ListTasksRequest, TaskState

from agenthub.errors import Invalid
from agenthub.project import read_project
from agenthub_langgraph.discovery import discover
from agenthub_remote import RemoteA2A, RemoteMcp
from agenthub_server.embedded import Postgres
from conftest import Hubs
from protocols import a2a_client, mcp_client, rest_client
from testkit import hub
from testkit.hub import FIXTURES, serving, settings, working
from testkit.remote import Conversation
from testkit.round_robin import round_robin
from testkit.waiting import eventually

NEAR = """
[agents.ship]
remote = {{ a2a = "{a2a}/agents/ship", verify = true }}
[agents.ship-tool]
remote = {{ mcp = "{a2a}/mcp", tool = "ship" }}
[agents.story]
remote = {{ a2a = "{a2a}/agents/story", binding = "HTTP+JSON" }}
description = "Tells what the other one tells."
[agents.story.card]
version = "7"
[agents.waits]
remote = {{ a2a = "{a2a}/agents/waits" }}
[agents.traced]
path = "./near.py:traced"
"""
CODE = """
from agenthub_remote import RemoteA2A

traced = RemoteA2A("{a2a}/agents/echo")
"""
FEDERATED = ("ship", "ship-tool")


@pytest.fixture(scope="module")
async def far(hubs: Hubs) -> str:
    return await hubs(FIXTURES / "a2a_agents.py")


@pytest.fixture(scope="module")
async def near(hubs: Hubs, far: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub that has no agent of its own."""
    folder = tmp_path_factory.mktemp("near")
    (folder / "near.py").write_text(CODE.format(a2a=far), "utf-8")
    project = folder / "near_hub.toml"
    project.write_text(NEAR.format(a2a=far), "utf-8")
    return await hubs(project)


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("agent", FEDERATED)
async def test_a_question_of_the_far_hub_is_answered_over_rest_of_the_near_one(
    near: str, agent: str
) -> None:
    async with rest_client.rest(near) as client:
        thread = (await client.threads.create())["thread_id"]
        asked: Any = await client.runs.wait(thread, agent, input=said("a boat"))
        (question,) = asked["__interrupt__"]
        assert question["value"]["prompt"] == "Ship a boat?"
        answer = True if agent == "ship" else {"answer": True}
        command: Any = {"resume": {question["id"]: answer}}
        done: Any = await client.runs.wait(thread, agent, command=command)
    assert done["output"]["shipped"] is True


@pytest.mark.parametrize("agent", FEDERATED)
async def test_a_question_of_the_far_hub_is_answered_over_a2a_of_the_near_one(
    near: str, agent: str
) -> None:
    async with a2a_client.agent(near, agent) as client:
        asked = await client.send("a boat")
        assert a2a_client.state(asked) == "INPUT_REQUIRED"
        (question,) = a2a_client.questions(asked)
        answer = True if agent == "ship" else {"answer": True}
        done = await client.send({"interrupts": {question["id"]: answer}}, task=asked)
    assert a2a_client.state(done) == "COMPLETED"
    assert a2a_client.data(done)["output"]["shipped"] is True


@pytest.mark.parametrize("era", mcp_client.ERAS)
@pytest.mark.parametrize("agent", FEDERATED)
async def test_a_question_of_the_far_hub_is_answered_over_mcp_of_the_near_one(
    near: str, agent: str, era: str
) -> None:
    replies: Any = {"Ship a boat?": {"answer": True}}
    async with mcp_client.client(near, era, replies) as client:
        result = await client.call_tool(agent, {"message": "a boat"})
    assert not result.is_error, mcp_client.said(result)
    assert result.structured_content is not None
    assert result.structured_content["output"]["shipped"] is True


async def test_what_is_declared_here_goes_before_what_is_said_there(near: str) -> None:
    async with rest_client.http(near) as raw:
        card = (await raw.get("/agents/story/.well-known/agent-card.json")).json()
        named = (await raw.get("/agents/ship/.well-known/agent-card.json")).json()
        listed = (await raw.get("/agents")).json()["agents"]
    assert (card["description"], card["version"]) == ("Tells what the other one tells.", "7")
    assert named["description"] == "Ships an order when it is told to."
    assert "traced" in {agent["name"] for agent in listed}


async def test_tokens_of_the_far_hub_stream_through_the_near_one(near: str) -> None:
    async with rest_client.rest(near) as client:
        stream = client.runs.stream(
            None, "story", input=said("tell me"), stream_mode=["messages-tuple", "values"]
        )
        parts = await rest_client.parts(stream)
    told = "".join(data[0]["content"] for data in rest_client.named(parts, "messages"))
    assert told == "Once upon a time there was a hub that lost nothing."
    (last,) = rest_client.named(parts, "values")[-1:]
    assert [m["content"] for m in last["messages"]] == ["tell me", told]


@pytest.mark.parametrize("how", ["cancelled", "timeout"])
async def test_a_run_that_is_cancelled_or_out_of_time_is_cancelled_there(
    near: str, far: str, how: str
) -> None:
    async def open_there() -> int:
        async with a2a_client.agent(far, "waits") as there:
            listed = await there.client.list_tasks(
                ListTasksRequest(status=TaskState.TASK_STATE_WORKING)
            )
            return len(listed.tasks)

    async def cancelled_there() -> bool:
        return await open_there() == 0

    async with rest_client.rest(near) as client:
        thread = (await client.threads.create())["thread_id"]
        body: Any = {"assistant_id": "waits", "input": said("go")}
        if how == "timeout":
            body["timeout"] = 6
        run: Any = await client.http.post(f"/threads/{thread}/runs", json=body)
        await eventually(open_there, within=20)
        if how == "cancelled":
            await client.runs.cancel(thread, run["run_id"])
        await eventually(cancelled_there, within=20)


async def test_a_worker_that_is_stopped_leaves_its_remote_task_to_the_next(
    far: str, dsn: str, redis_url: str, tmp_path: Path
) -> None:
    async def calls() -> int:
        async with a2a_client.agent(far, "gated") as there:
            return (await there.client.list_tasks(ListTasksRequest())).total_size

    gate, file, before = tmp_path / "gate", tmp_path / "near.toml", await calls()
    file.write_text(f'[agents.gated]\nremote = {{ a2a = "{far}/agents/gated" }}\n', "utf-8")
    config = settings(dsn, redis_url, drain_seconds=0.0)
    async with serving(config) as (near, service), rest_client.rest(near) as client:
        thread = (await client.threads.create())["thread_id"]
        given: Any = {"messages": [], "data": {"gate": str(gate)}}
        async with working(config, file):
            await service.agents.refresh()
            run = await client.runs.create(thread, "gated", input=given)

            async def called() -> bool:
                return await calls() > before

            await eventually(called, within=20)
        gate.touch()
        async with working(config, file):
            done: Any = await client.runs.join(thread, run["run_id"])
    assert done["output"]["told"] == "before the gate behind the gate "
    assert await calls() == before + 1


@pytest.mark.parametrize("balanced", [False, True], ids=["directly", "behind a balancer"])
@pytest.mark.parametrize("how", ["told", "called"])
async def test_a_far_hub_that_is_replaced_in_mid_task_is_waited_for(
    dsn: str, redis_url: str, tmp_path: Path, how: str, balanced: bool
) -> None:
    config, gate = settings(dsn, redis_url, drain_seconds=0.0), tmp_path / "gate"
    url = f"http://127.0.0.1:{config.port}"
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(round_robin([url]))
        url = balancer.url if balanced else url
        agent = (
            RemoteA2A(f"{url}/agents/gated")
            if how == "told"
            else RemoteMcp(f"{url}/mcp", tool="gated")
        )
        talk = Conversation(agent)
        await stack.enter_async_context(working(config, FIXTURES / "a2a_agents.py"))
        async with serving(config):
            step = talk.begin(data={"gate": str(gate)})
            begun = (lambda: talk.io.tokens) if how == "told" else (lambda: len(talk.io.saves) > 1)
            await eventually(begun, within=20)
        gate.touch()
        assert not step.done()
        if balanced:
            # an answer of somebody who is there, unlike a connection that nobody takes
            await eventually(lambda: balancer.refused or step.done(), within=20)
        async with serving(config):
            outcome = await asyncio.wait_for(step, 30)
    assert outcome.output["told"] == "before the gate behind the gate "
    if how == "told":
        assert talk.io.tokens == outcome.messages[0]["content"] == outcome.output["told"]


async def test_a_far_hub_that_is_away_takes_only_its_agents_away_and_they_come_with_it(
    dsn: str, redis_url: str, postgres: Postgres, template: str, tmp_path: Path
) -> None:
    away = settings(dsn, redis_url)
    url = f"http://127.0.0.1:{away.port}"
    file = tmp_path / "near.toml"
    (tmp_path / "own.py").write_text(
        "from langgraph.func import entrypoint\n\n"
        "@entrypoint()\nasync def own(said: str) -> str:\n    return said\n",
        "utf-8",
    )
    file.write_text(
        f'[agents.own]\npath = "./own.py:own"\n'
        f'[agents.echo]\nremote = {{ a2a = "{url}/agents/far_echo" }}\n'
        f'[agents.tools]\nremote = {{ mcp = "{url}/mcp" }}\n',
        "utf-8",
    )
    far_agents = tmp_path / "far.py"
    far_agents.write_text(
        "from langgraph.func import entrypoint\n\n"
        "@entrypoint()\nasync def far_echo(said: str) -> str:\n    return f'far: {said}'\n",
        "utf-8",
    )
    config = settings(await another_database(postgres, template), None, drain_seconds=0.0)
    async with working(config, file), serving(config) as (near, service):
        await service.agents.refresh()
        assert [info.name for info in service.agents.all()] == ["own"]
        reasons = service.agents.unavailable()
        assert set(reasons) == {"echo", "tools"}
        assert all(url in reason for reason in reasons.values()), reasons
        async with httpx.AsyncClient(base_url=near, trust_env=False) as raw:
            body = {"assistant_id": "echo", "input": "x"}
            refused = await raw.post("/runs/wait", json=body)
            assert (refused.status_code, url in refused.text) == (503, True)
        async with hub.hub(away, far_agents), rest_client.rest(near) as client:

            async def there() -> bool:
                await service.agents.refresh()
                names = {info.name for info in service.agents.all()}
                return {"own", "echo", "tools-far_echo"} <= names

            await eventually(there, within=30)
            assert service.agents.unavailable() == {}
            for name in ("echo", "tools-far_echo"):
                done: Any = await client.runs.wait(None, name, input=said("hi"))
                assert "far: hi" in str(done["messages"][-1]["content"])


async def another_database(postgres: Postgres, template: str) -> str:
    admin = await asyncpg.connect(postgres.url("postgres"))
    await admin.execute(f"create database near_away template {template} strategy file_copy")
    await admin.close()
    return postgres.url("near_away")


WITHOUT = """
import asyncio, importlib.abc, sys
from contextlib import AsyncExitStack
from pathlib import Path


class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("a2a", "mcp", "mcp_types", "httpx2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Without())
from agenthub.project import read_project
from agenthub_langgraph import remotes
from agenthub_langgraph.discovery import discover

found = discover(read_project(Path(sys.argv[1])), "default")
asyncio.run(remotes.ask(found, "default"))
print(found.failures)
"""


def test_a_worker_without_the_protocols_says_in_a_sentence_what_to_install(tmp_path: Path) -> None:
    file = tmp_path / "agenthub.toml"
    file.write_text(
        '[agents.x]\nremote = { a2a = "https://x" }\n[agents.y]\nremote = { mcp = "https://y" }\n',
        "utf-8",
    )
    argv = [sys.executable, "-c", WITHOUT, str(file)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    wanted = "install agenthub[remote] in the environment of this agent"
    assert done.stdout.count(wanted) == 2, done.stdout


@pytest.mark.parametrize(
    ("remote", "wrong"),
    [
        ('"https://x"', "is a table like"),
        ('{ a2a = "https://x", mcp = "https://y" }', "needs either a2a or mcp"),
        ('{ a2a = "ftp://x" }', "a2a is an absolute address"),
        ('{ a2a = "https://me:secret@x" }', "must not have a password in it"),
        ('{ a2a = "https://x", tool = "y" }', "unknown tool; known: a2a, binding"),
        ('{ a2a = "https://x", binding = "GRPC" }', "binding is JSONRPC or HTTP"),
        ('{ a2a = "https://x", verify = 1 }', "verify is true or false"),
        ('{ a2a = "https://x", keys = "x" }', "keys is an absolute address"),
        ('{ mcp = "https://x", tool = "" }', "tool is the name of one"),
        ('{ mcp = "https://x", hosts = "y" }', "hosts is a list"),
        ('{ mcp = "https://x", headers = { A = "secret" } }', 'header A must be "env:VARIABLE"'),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_by_a_sentence(
    tmp_path: Path, remote: str, wrong: str
) -> None:
    file = tmp_path / "agenthub.toml"
    file.write_text(f"[agents.x]\nremote = {remote}\n", "utf-8")
    with pytest.raises(Invalid, match=wrong) as refused:
        read_project(file)
    assert "secret" not in str(refused.value)


def test_an_agent_is_at_one_place_only(tmp_path: Path) -> None:
    file = tmp_path / "agenthub.toml"
    file.write_text('[agents.x]\npath = "./x.py:x"\nremote = { a2a = "https://x" }\n', "utf-8")
    with pytest.raises(Invalid, match="a path and a remote"):
        read_project(file)
    file.write_text("[agents.x]\n", "utf-8")
    with pytest.raises(Invalid, match="needs a path, or a remote"):
        read_project(file)


def test_nothing_is_fetched_while_a_project_is_read(tmp_path: Path) -> None:
    file = tmp_path / "agenthub.toml"
    file.write_text('[agents.x]\nremote = { a2a = "http://127.0.0.1:9" }\n', "utf-8")
    found = discover(read_project(file), "default")
    assert ([one.name for one in found.unasked], found.graphs, found.failures) == (["x"], {}, {})
