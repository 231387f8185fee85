"""Assistants: made, versioned, found, described."""

from __future__ import annotations

from uuid import UUID, uuid4, uuid5

from agenthub_conformance.marks import requirement
from agenthub_conformance.rest.probe import Json, Probe

NAMESPACE = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


def system_id(graph: str) -> str:
    """The id of a graph's own assistant."""
    return str(uuid5(NAMESPACE, graph))


async def made(probe: Probe, **more: Json) -> Json:
    """A new assistant of `plus`."""
    body = {"graph_id": "plus", "metadata": probe.mark, **more}
    return await probe.post("/assistants", body)


@requirement("assistants:system")
async def system(probe: Probe) -> None:
    found = await probe.get(f"/assistants/{system_id('plus')}")
    assert (found["graph_id"], found["metadata"]["created_by"]) == ("plus", "system")


@requirement("assistants:create")
async def create(probe: Probe) -> None:
    config = {"configurable": {"colour": "red"}, "tags": ["t"], "recursion_limit": 7}
    one = await made(probe, config=config, name="one", description="told")
    assert await probe.get(f"/assistants/{one['assistant_id']}") == one
    assert one["config"]["tags"] == ["t"]
    assert (one["name"], one["description"]) == ("one", "told")
    other = await made(probe, context={"colour": "blue"})
    assert other["context"] == {"colour": "blue"}


@requirement("assistants:create:defaults")
async def defaults(probe: Probe) -> None:
    one = await probe.post("/assistants", {"graph_id": "plus"})
    assert (one["name"], one["version"], one["description"]) == ("Untitled", 1, None)
    await probe.call("DELETE", f"/assistants/{one['assistant_id']}", status=204)


@requirement("assistants:create:taken")
async def taken(probe: Probe) -> None:
    id_ = str(uuid4())
    one = await made(probe, assistant_id=id_)
    again = {"graph_id": "plus", "assistant_id": id_, "name": "again"}
    await probe.post("/assistants", again, status=409)
    assert await probe.post("/assistants", {**again, "if_exists": "do_nothing"}) == one


@requirement("assistants:create:unknown-graph")
async def unknown_graph(probe: Probe) -> None:
    await probe.post("/assistants", {"graph_id": "no-such-graph"}, status=404)


@requirement("assistants:create:malformed")
async def malformed_creation(probe: Probe) -> None:
    await probe.post("/assistants", {}, status=422)
    await probe.post("/assistants", {"graph_id": "plus", "assistant_id": "no-id"}, status=422)
    await probe.post("/assistants", {"graph_id": 7}, status=422)
    await probe.post("/assistants", {"graph_id": "plus", "metadata": []}, status=422)
    await probe.post("/assistants", {"graph_id": "plus", "if_exists": "maybe"}, status=422)


@requirement("assistants:patch")
async def patch(probe: Probe) -> None:
    one = await made(probe, config={"configurable": {"colour": "red"}})
    path = f"/assistants/{one['assistant_id']}"
    body = {"name": "two", "metadata": {"more": 1}}
    two = await probe.call("PATCH", path, json=body)
    assert (two["version"], two["name"]) == (2, "two")
    assert two["metadata"]["more"] == 1
    assert two["metadata"]["check"] == probe.mark["check"]
    assert two["config"] == one["config"]
    assert await probe.get(path) == two


@requirement("assistants:versions")
async def versions(probe: Probe) -> None:
    one = await made(probe)
    path = f"/assistants/{one['assistant_id']}"
    await probe.call("PATCH", path, json={"name": "two"})
    await probe.call("PATCH", path, json={"name": "three"})
    listed = await probe.post(f"{path}/versions", {})
    assert [v["version"] for v in listed] == [3, 2, 1]
    page = await probe.post(f"{path}/versions", {"limit": 1, "offset": 1})
    assert [v["version"] for v in page] == [2]


@requirement("assistants:latest")
async def latest(probe: Probe) -> None:
    one = await made(probe, name="one", config={"tags": ["one"]})
    path = f"/assistants/{one['assistant_id']}"
    await probe.call("PATCH", path, json={"name": "two", "config": {"tags": ["two"]}})
    back = await probe.post(f"{path}/latest", {"version": 1})
    assert (back["version"], back["config"]["tags"]) == (1, ["one"])
    assert (await probe.get(path))["version"] == 1
    await probe.post(f"{path}/latest", {"version": 9}, status=404)
    await probe.post(f"{path}/latest", {}, status=(404, 422))


@requirement("assistants:search")
async def search(probe: Probe) -> None:
    for name in ("b", "a", "c"):
        await made(probe, name=f"{name} {probe.mark['check']}")
    asked = {"metadata": probe.mark, "sort_by": "name", "sort_order": "asc"}
    found = await probe.post("/assistants/search", {**asked, "limit": 2})
    assert [one["name"][0] for one in found] == ["a", "b"]
    assert probe.last.headers["x-pagination-next"] == "2"
    rest = await probe.post("/assistants/search", {**asked, "limit": 2, "offset": 2})
    assert [one["name"][0] for one in rest] == ["c"]
    assert "x-pagination-next" not in probe.last.headers
    named = await probe.post("/assistants/search", {**asked, "name": f"B {probe.mark['check']}"})
    assert len(named) == 1
    of_graph = await probe.post("/assistants/search", {**asked, "graph_id": "two_steps"})
    assert of_graph == []


@requirement("assistants:search:select")
async def select(probe: Probe) -> None:
    await made(probe)
    asked = {"metadata": probe.mark, "select": ["assistant_id", "name"]}
    (found,) = await probe.post("/assistants/search", asked)
    assert found.keys() == {"assistant_id", "name"}
    await probe.post("/assistants/search", {"select": ["secret"]}, status=422)


@requirement("assistants:count")
async def count(probe: Probe) -> None:
    await made(probe)
    await made(probe)
    assert await probe.post("/assistants/count", {"metadata": probe.mark}) == 2
    asked = {"metadata": probe.mark, "graph_id": "two_steps"}
    assert await probe.post("/assistants/count", asked) == 0


@requirement("assistants:delete")
async def delete(probe: Probe) -> None:
    one = await made(probe)
    path = f"/assistants/{one['assistant_id']}"
    assert await probe.call("DELETE", path, status=204) is None
    await probe.get(path, status=404)
    await probe.call("DELETE", path, status=404)


@requirement("assistants:schemas")
async def schemas(probe: Probe) -> None:
    one = await made(probe)
    found = await probe.get(f"/assistants/{one['assistant_id']}/schemas")
    assert found["graph_id"] == "plus"
    assert found["input_schema"]["properties"]["x"]["type"] == "integer"
    assert {"output_schema", "state_schema", "config_schema", "context_schema"} <= found.keys()


@requirement("assistants:graph")
async def graph(probe: Probe) -> None:
    drawing = await probe.get(f"/assistants/{system_id('two_steps')}/graph")
    assert {"__start__", "first", "second", "__end__"} == {n["id"] for n in drawing["nodes"]}
    assert {"source", "target"} <= drawing["edges"][0].keys()
    await probe.get(f"/assistants/{system_id('two_steps')}/graph", xray="true")
    await probe.get(f"/assistants/{system_id('two_steps')}/graph", xray="none", status=422)


@requirement("assistants:subgraphs")
async def subgraphs(probe: Probe) -> None:
    path = f"/assistants/{system_id('nested')}/subgraphs"
    found = await probe.get(path)
    assert found.keys() == {"inner"}
    assert "input_schema" in found["inner"]
    assert (await probe.get(f"{path}/inner", recurse="true")).keys() == {"inner"}
    assert await probe.get(f"{path}/no-such-node") == {}


@requirement("assistants:missing")
async def missing(probe: Probe) -> None:
    path = f"/assistants/{uuid4()}"
    await probe.get(path, status=404)
    await probe.call("PATCH", path, json={"name": "x"}, status=404)
    await probe.call("DELETE", path, status=404)
    for part in ("schemas", "graph", "subgraphs"):
        await probe.get(f"{path}/{part}", status=404)
    await probe.post(f"{path}/versions", {}, status=404)
    await probe.post(f"{path}/latest", {"version": 1}, status=404)


@requirement("assistants:malformed")
async def malformed(probe: Probe) -> None:
    await probe.post("/assistants/search", {"limit": 0}, status=422)
    await probe.post("/assistants/search", {"limit": 1001}, status=422)
    await probe.post("/assistants/search", {"offset": -1}, status=422)
    await probe.post("/assistants/search", {"sort_by": "colour"}, status=422)
    await probe.post("/assistants/search", {"sort_order": "up"}, status=422)
    await probe.post("/assistants/search", {"metadata": "x"}, status=422)
    await probe.post("/assistants/count", {"graph_id": 7}, status=422)
