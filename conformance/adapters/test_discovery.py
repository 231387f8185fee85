"""Discovery: which agents a project's code has, and what becomes of code that is broken."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph

from agenthub.agents import AgentInfo
from agenthub.project import AgentSource, Project, read_project
from agenthub_langgraph.discovery import Discovered, discover, graph_of

FLOW = """
from langgraph.func import entrypoint

@entrypoint()
async def {name}(x: str) -> str:
    "Says {name}."
    return x
"""
GRAPH = """
from langgraph.graph import START, MessagesState, StateGraph

builder = StateGraph(MessagesState)
builder.add_node("a", lambda _: {{}})
builder.add_edge(START, "a")
{name} = builder.compile()
"""


@pytest.fixture(autouse=True)
def _clean() -> Generator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    for name, body in files.items():
        (folder / f"{name}.py").write_text(body, "utf-8")
    return folder


def found(folder: Path) -> Discovered:
    return discover(read_project(folder), "default")


def test_every_agent_at_module_level_is_found(tmp_path: Path) -> None:
    body = FLOW.format(name="one") + GRAPH.format(name="two") + "_hidden = one\nagain = two\n"
    discovered = found(write(tmp_path, quest_a=body))
    assert list(discovered.graphs) == ["one", "two"]
    assert [info.description for info in discovered.infos] == ["Says one.", "The agent 'two'."]
    assert discovered.failures == {}
    assert {len(info.code_version) for info in discovered.infos} == {12}


def test_a_hidden_agent_is_not_found(tmp_path: Path) -> None:
    assert not found(write(tmp_path, quest_a=FLOW.format(name="_one"))).graphs


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no key')", "ValueError: no key"),
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def (", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_a_file_that_fails_takes_only_its_own_agents_away(
    tmp_path: Path, body: str, reason: str
) -> None:
    discovered = found(write(tmp_path, quest_bad=body, quest_good=FLOW.format(name="good")))
    assert list(discovered.graphs) == ["good"]
    assert list(discovered.failures) == ["quest_bad"]
    assert discovered.failures["quest_bad"].startswith(reason)
    assert "quest_bad" not in sys.modules


def test_two_agents_of_one_name_are_told_and_one_is_served(tmp_path: Path) -> None:
    write(tmp_path, quest_a=FLOW.format(name="same"), quest_b=FLOW.format(name="same"))
    discovered = found(tmp_path)
    assert list(discovered.graphs) == ["same"]
    assert discovered.failures == {
        "same-quest_b": "another file has an agent 'same' too: rename one"
    }


@pytest.mark.parametrize("body", [FLOW, GRAPH], ids=["workflow", "graph"])
@pytest.mark.parametrize(
    "imports", ["from {home} import one", "from {home} import one as other", "from {home} import *"]
)
@pytest.mark.parametrize(("home", "user"), [("quest_a", "quest_b"), ("quest_b", "quest_a")])
def test_an_imported_agent_is_not_doubled(
    tmp_path: Path, body: str, imports: str, home: str, user: str
) -> None:
    ran = "import sys\nsys.quests = getattr(sys, 'quests', 0) + 1\n"
    files = {home: ran + body.format(name="one"), user: imports.format(home=home)}
    discovered = found(write(tmp_path, **files))
    assert list(discovered.graphs) == ["one"]
    assert discovered.failures == {}
    runs = sys.quests
    del sys.quests
    assert runs == 1, "the file was executed twice"


def test_a_file_may_be_called_like_a_module_of_python(tmp_path: Path) -> None:
    import types

    discovered = found(write(tmp_path, types=FLOW.format(name="one"), wave=FLOW.format(name="two")))
    assert list(discovered.graphs) == ["one", "two"]
    assert sys.modules["types"] is types
    assert "wave" not in sys.modules, "whoever imports it later would get the agent's file"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, quest_a="from _quest_words import x\n" + FLOW.format(name="one"))
    write(tmp_path, _quest_words="x = 1")
    assert list(found(tmp_path).graphs) == ["one"]


# --- agents that a configuration names -----------------------------------------------------------


def named(tmp_path: Path, object: str, **more: Any) -> Discovered:
    source = AgentSource(file=str(tmp_path / "quest_a.py"), object=object, **more)
    return discover(Project(root=tmp_path, sources=(source,)), "default")


def test_a_named_agent_has_the_name_and_description_that_it_is_given(tmp_path: Path) -> None:
    write(tmp_path, quest_a=FLOW.format(name="one") + FLOW.format(name="two"))
    (info,) = named(tmp_path, "two", name="triage", description="Sorts.").infos
    assert (info.name, info.description) == ("triage", "Sorts.")
    assert [i.name for i in named(tmp_path, "two").infos] == ["two"]


def test_a_named_agent_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    write(tmp_path, quest_a="x = 1")
    failures = named(tmp_path, "agent", name="triage").failures
    assert failures == {"triage": f"LookupError: {tmp_path / 'quest_a.py'} has no 'agent'"}
    assert "int is not an agent" in named(tmp_path, "x", name="triage").failures["triage"]


def test_agents_of_other_environments_are_not_imported(tmp_path: Path) -> None:
    write(tmp_path, quest_a="raise ValueError('imported')")
    assert named(tmp_path, "x", environment="crew") == Discovered()


def test_a_module_may_be_named_instead_of_a_file(tmp_path: Path) -> None:
    write(tmp_path, quest_a=FLOW.format(name="one"))
    source = AgentSource(file="quest_a", object="one")
    assert list(discover(Project(root=tmp_path, sources=(source,)), "default").graphs) == ["one"]


def test_the_embedding_of_the_store_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, quest_embed="def embed(texts):\n    return [[1.0] for _ in texts]")
    index = {"dims": 1, "embed": f"{tmp_path / 'quest_embed.py'}:embed"}
    discovered = discover(Project(root=tmp_path, sources=(), index=index), "default")
    assert discovered.index is not None
    assert discovered.index["embed"](["x"]) == [[1.0]]
    assert discover(Project(root=tmp_path, sources=()), "default").index is None


# --- factories ----------------------------------------------------------------------------------


def builder() -> Any:
    made = StateGraph(MessagesState)
    made.add_node("a", lambda _: {})
    made.add_edge(START, "a")
    return made


@entrypoint()
async def flow(x: str) -> str:
    return x


def with_options(config: Any, limit: int = 3, **_: Any) -> Any:
    assert config == {"configurable": {}}
    return flow


@pytest.mark.parametrize(
    "obj",
    [flow, builder(), builder().compile(), builder, lambda: flow, lambda config: flow, with_options,
     lambda *a, **k: flow],
)  # fmt: skip
def test_a_graph_a_builder_and_a_factory_of_them_are_agents(obj: Any) -> None:
    assert type(graph_of(obj)).__name__ in ("Pregel", "CompiledStateGraph")


@pytest.mark.parametrize(
    ("obj", "reason"),
    [
        (7, "int is not an agent: a graph, an @entrypoint or a factory"),
        (lambda: 7, "the factory returned int, not a graph"),
        (lambda a, b: flow, "a graph factory takes the run's config, or nothing"),
    ],
)
def test_anything_else_is_refused_with_a_reason(obj: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        graph_of(obj)


def test_what_is_declared_for_a_card_is_published_with_the_agent(tmp_path: Path) -> None:
    (tmp_path / "carded.py").write_text(FLOW.format(name="carded"))
    source = AgentSource(
        file=str(tmp_path / "carded.py"), object="carded", card={"examples": ["Do it."]}
    )
    found = discover(Project(root=tmp_path, sources=(source,)), "default")
    (info,) = found.infos
    assert info.card == {"examples": ["Do it."]}
    assert AgentInfo.from_json(info.to_json()) == info
