"""What an adapter says of an agent before it runs."""

from __future__ import annotations

import json

from agenthub.agents import slug
from agenthub_conformance.adapter.contract import Kit, behaviour, same


@behaviour("describe:detect", "An agent is known by its class, and nothing else is taken for one.")
async def detect(kit: Kit) -> None:
    adapter = kit.fixtures.adapter
    assert adapter.detect(kit.agent("chat")), "the agent is not recognised"
    others: list[object] = [object(), "text", 7, None, [], adapter, json, adapter.detect]
    for other in others:
        assert not adapter.detect(other), f"{other!r} is taken for an agent"


@behaviour("describe:json", "A description is JSON, with a name that every surface can carry.")
async def describe(kit: Kit) -> None:
    for name in ("chat", "tool_user", "failing"):
        info = kit.fixtures.adapter.describe(kit.agent(name))
        same(json.loads(json.dumps(info.to_json()))["name"], info.name, "the name in JSON")
        slug(info.name or name)


@behaviour("describe:output", "Typed output has a JSON Schema; an agent of words has none.")
async def output_schema(kit: Kit) -> None:
    adapter = kit.fixtures.adapter
    same(adapter.describe(kit.agent("chat")).output_schema, {}, "the schema of words")
    schema = adapter.describe(kit.agent("typed")).output_schema
    same(set(schema.get("properties", {})), {"city", "degrees"}, "the properties")
