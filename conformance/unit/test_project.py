"""Projects: what is read from a file, a folder, an agenthub.toml or a langgraph.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agenthub.errors import HubError, Invalid, NotFound
from agenthub.project import AgentSource, read_project


def write(folder: Path, name: str, body: Any = "") -> Path:
    file = folder / name
    file.write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")
    return file


def refused(target: Path, kind: type[HubError] = Invalid) -> str:
    with pytest.raises(kind) as caught:
        read_project(target)
    return caught.value.message


# --- files and folders ---------------------------------------------------------------------------


def test_a_python_file_is_a_project_of_all_that_it_defines(tmp_path: Path) -> None:
    file = write(tmp_path, "triage.py")
    project = read_project(file)
    assert project.root == tmp_path
    assert project.sources == (AgentSource(file=str(file), object=None),)
    assert project.environments == ["default"]
    assert project.of("default") == project.sources
    assert project.of("another") == ()


def test_a_folder_is_its_python_files_without_tests_and_private_ones(tmp_path: Path) -> None:
    for name in ("b.py", "a.py", "_c.py", "__init__.py", "test_a.py", "conftest.py", "notes.md"):
        write(tmp_path, name)
    assert [Path(s.file).name for s in read_project(tmp_path).sources] == ["a.py", "b.py"]


def test_a_folder_with_a_configuration_is_what_that_says(tmp_path: Path) -> None:
    write(tmp_path, "a.py")
    write(tmp_path, "langgraph.json", {"graphs": {"two": "./a.py:g"}})
    assert read_project(tmp_path).sources[0].name == "two"
    write(tmp_path, "agenthub.toml", '[agents.one]\npath = "./a.py:g"')
    project = read_project(tmp_path)
    assert [source.name for source in project.sources] == ["one"]
    assert project.config_file == tmp_path / "agenthub.toml"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.py", NotFound) == (
        f"there is no file or folder {tmp_path / 'nothing.py'}"
    )
    assert "no agenthub.toml, no langgraph.json and no Python file" in refused(tmp_path, NotFound)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "agent.js")) == (
        "'agent.js': give a Python file, a folder, an agenthub.toml or a langgraph.json"
    )


# --- agenthub.toml -------------------------------------------------------------------------------


def test_a_toml_names_its_agents_with_all_about_them(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "agenthub.toml",
        """
        [agents."My triage"]
        path = "./src/triage.py:agent"
        description = "Sorts tickets."
        task = "required"
        [agents.research]
        path = "research.crew:crew"
        environment = "crew"
        [environments.crew]
        requirements = ["agenthub[crewai]"]
        [store.index]
        dims = 384
        embed = "./embed.py:embed"
        """,
    )
    project = read_project(file)
    assert project.sources == (
        AgentSource(
            file=str(tmp_path / "src" / "triage.py"),
            object="agent",
            name="My-triage",
            description="Sorts tickets.",
            task="required",
        ),
        AgentSource(file="research.crew", object="crew", name="research", environment="crew"),
    )
    assert project.environments == ["crew", "default"]
    assert project.index == {"dims": 384, "embed": f"{tmp_path / 'embed.py'}:embed"}


PATH = 'path = "./a.py:g"'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("[agents", "agenthub.toml is not valid TOML: "),
        (
            "agent = 1",
            "agenthub.toml: unknown agent; known: agents, checkpointer, environments, http, store, webhooks",
        ),
        ("agents = 3", "agenthub.toml: agents is not a table of names"),
        ("agents.a = 3", "[agents.a] in agenthub.toml needs a path"),
        ("[agents.a]", "[agents.a] in agenthub.toml needs a path"),
        (f"[agents.a]\n{PATH}\nfoo = 1", "[agents.a] in agenthub.toml: unknown foo; known: "),
        (f"[agents.a]\n{PATH}\ntask = 'maybe'", "task is forbidden, optional or required"),
        (f"[agents.a]\n{PATH}\ndescription = 3", "description is a text"),
        (f"[agents.a]\n{PATH}\nenvironment = []", "environment is a text"),
        ("[agents.a]\npath = 'a.py'", "path is MODULE_OR_FILE:NAME, not 'a.py'"),
        ("[agents.a]\npath = 'a.py:'", "path is MODULE_OR_FILE:NAME, not 'a.py:'"),
        (f"[agents.'$$']\n{PATH}", "'$$' cannot be made into an agent name"),
        ("store = 3", "agenthub.toml: store is not a table of names"),
        ("[store]\nindex = 3", "agenthub.toml: index is not a table of names"),
        ("[store.index]\ndims = 3", "store.index needs dims (a number) and embed"),
        ("[store.index]\ndims = '3'\nembed = 'a:b'", "store.index needs dims (a number)"),
    ],
)
def test_a_toml_that_makes_no_sense_is_refused_with_a_sentence(
    tmp_path: Path, body: str, sentence: str
) -> None:
    assert sentence in refused(write(tmp_path, "agenthub.toml", body))


def test_a_toml_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "agenthub.toml"
    file.write_bytes(b"\xff\xfe")
    assert "agenthub.toml is not valid TOML" in refused(file)


# --- langgraph.json ------------------------------------------------------------------------------


def test_a_langgraph_json_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, ".env", "# keys\nA=1\nexport B='two'\n\nC = \"x=y\"\nnothing\n")
    file = write(
        tmp_path,
        "langgraph.json",
        {
            "$schema": "https://langgra.ph/schema.json",
            "python_version": "3.12",
            "dependencies": ["."],
            "graphs": {
                "agent": "./src/agent.py:graph",
                "other": {"path": "pkg.module:make", "description": "Makes."},
            },
            "env": ".env",
            "store": {"index": {"dims": 3, "embed": "openai:small", "fields": ["text"]}},
        },
    )
    project = read_project(file)
    assert project.sources == (
        AgentSource(file=str(tmp_path / "src" / "agent.py"), object="graph", name="agent"),
        AgentSource(file="pkg.module", object="make", name="other", description="Makes."),
    )
    assert project.env == {"A": "1", "B": "two", "C": "x=y"}
    assert project.index == {"dims": 3, "embed": "openai:small", "fields": ["text"]}


def test_the_env_of_a_langgraph_json_may_stand_in_it(tmp_path: Path) -> None:
    file = write(tmp_path, "langgraph.json", {"env": {"A": 1}})
    assert read_project(file).env == {"A": "1"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "langgraph.json is not valid JSON: "),
        ([], "langgraph.json is not a JSON object"),
        ({"auth": {"path": "a.py:auth"}}, "langgraph.json: 'auth' is not supported yet"),
        ({"encryption": {}}, "langgraph.json: 'encryption' is not supported yet"),
        ({"graphs": ["a.py:g"]}, "langgraph.json: graphs is not a table of names"),
        ({"graphs": {"a": 3}}, "graphs.a in langgraph.json needs a path"),
        ({"graphs": {"a": {}}}, "graphs.a in langgraph.json needs a path"),
        ({"graphs": {"a": "a.py"}}, "graphs.a in langgraph.json: path is MODULE_OR_FILE:NAME"),
        ({"env": "missing.env"}, "the env file 'missing.env' does not exist"),
        ({"store": {"index": {"embed": "a:b"}}}, "store.index needs dims (a number) and embed"),
    ],
)
def test_a_langgraph_json_that_makes_no_sense_is_refused_with_a_sentence(
    tmp_path: Path, body: Any, sentence: str
) -> None:
    assert sentence in refused(write(tmp_path, "langgraph.json", body))


# --- the server's part ---------------------------------------------------------------------------


def test_what_a_project_says_about_its_server_is_read(tmp_path: Path) -> None:
    http = {"app": "./web.py:app", "cors": {"allow_origins": ["*"]}, "disable_a2a": True}
    project = read_project(write(tmp_path, "langgraph.json", {"graphs": {}, "http": http}))
    assert project.http.app == f"{tmp_path / 'web.py'}:app"
    assert project.http.cors == {"allow_origins": ["*"]}
    assert project.http.without == {"a2a"}
    assert project.ignored == ()


def test_settings_without_an_effect_are_named_and_those_for_images_are_not(tmp_path: Path) -> None:
    body = {
        "graphs": {}, "dependencies": ["."], "python_version": "3.12",
        "checkpointer": {"serde": {}, "ttl": {}}, "http": {"disable_store": True},
        "webhooks": {"url": {"disable_loopback": False}},
    }  # fmt: skip
    project = read_project(write(tmp_path, "langgraph.json", body))
    assert project.ignored == (
        "http.disable_store", "webhooks.url.disable_loopback", "checkpointer.serde",
    )  # fmt: skip


def test_an_unknown_cors_setting_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "langgraph.json", {"http": {"cors": {"origins": ["*"]}}})
    assert "http.cors: unknown origins" in refused(file)


def test_the_stores_time_to_live_is_read_in_minutes(tmp_path: Path) -> None:
    file = write(tmp_path, "langgraph.json", {"store": {"ttl": {"default_ttl": 60}}})
    assert read_project(file).ttl == {"default_ttl": 60}
    file = write(tmp_path, "langgraph.json", {"store": {"ttl": {"default_ttl": "long"}}})
    assert "store.ttl.default_ttl is a number of minutes" in refused(file)


def test_an_env_file_is_read_as_shells_read_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A='x # y'\nexport B=\"two words\"  # why\n# C=3\n", "utf-8")
    file = write(tmp_path, "langgraph.json", {"graphs": {}, "env": ".env"})
    assert read_project(file).env == {"A": "x # y", "B": "two words"}


# --- cards ---------------------------------------------------------------------------------------

CARD = """
[agents.one]
path = "./a.py:g"
[agents.one.card]
examples = ["Do it."]
provider = { organization = "Acme", url = "https://acme.example" }
[[agents.one.card.skills]]
id = "sew"
name = "Sewing"
tags = ["craft"]
"""


def test_what_directories_are_told_of_an_agent_is_read(tmp_path: Path) -> None:
    (source,) = read_project(write(tmp_path, "agenthub.toml", CARD)).sources
    assert source.card["examples"] == ["Do it."]
    assert source.card["provider"]["organization"] == "Acme"
    assert source.card["skills"] == [{"id": "sew", "name": "Sewing", "tags": ["craft"]}]


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ("colour = 1", "unknown colour"),
        ("examples = 1", "examples is a list of texts"),
        ("input_modes = [1]", "input_modes is a list of texts"),
        ("icon_url = 1", "icon_url is a text"),
        ("provider = { organization = 'Acme' }", "provider needs organization and url"),
        ("provider = { organization = 'Acme', url = 1 }", "provider needs organization and url"),
        ("skills = 1", "skills is a list of tables"),
        ("skills = [{ id = 'a' }]", "a skill needs an id and a name"),
        ("skills = [{ id = 'a', name = 'b', x = 1 }]", "unknown x"),
        ("skills = [{ id = 'a', name = 'b', tags = 1 }]", "tags is a list of texts"),
        ("extended = 1", "extended is not a table"),
        ("extended = { version = '1' }", "unknown version"),
        ("extended = { description = 1 }", "description is a text"),
        ("extended = { skills = [{ id = 'a' }] }", "a skill needs an id and a name"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, card: str, sentence: str
) -> None:
    body = f"[agents.one]\npath = './a.py:g'\n[agents.one.card]\n{card}"
    message = refused(write(tmp_path, "agenthub.toml", body))
    assert sentence in message
    assert "agents.one" in message


# --- prompts and hints ---------------------------------------------------------------------------

SHOWN = """
[agents.one]
path = "./a.py:g"
annotations = { readOnlyHint = true, openWorldHint = false }
[[agents.one.prompts]]
name = "greet"
title = "Greet"
text = "Hello {who}"
arguments = [{ name = "who", description = "Whom?", required = true }]
[[agents.one.prompts]]
name = "sum-up"
text = "Sum up."
"""


def test_prompts_and_hints_of_an_agent_are_read(tmp_path: Path) -> None:
    (source,) = read_project(write(tmp_path, "agenthub.toml", SHOWN)).sources
    assert source.annotations == {"readOnlyHint": True, "openWorldHint": False}
    assert [prompt["name"] for prompt in source.prompts] == ["greet", "sum-up"]
    assert source.prompts[0]["arguments"] == [
        {"name": "who", "description": "Whom?", "required": True}
    ]


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("annotations = 1", "annotations is a table"),
        ("annotations = { readonly = true }", "unknown readonly"),
        ("annotations = { readOnlyHint = 'yes' }", "readOnlyHint is true or false"),
        ("prompts = 1", "prompts is a list of tables"),
        ("prompts = [{ text = 'x' }]", "needs a name"),
        ("prompts = [{ name = 'a b', text = 'x' }]", "needs a name"),
        ("prompts = [{ name = 'a' }]", "needs a text"),
        ("prompts = [{ name = 'a', text = 'x', title = 1 }]", "title is a text"),
        ("prompts = [{ name = 'a', text = 'x', y = 1 }]", "unknown y"),
        ("prompts = [{ name = 'a', text = 'x' }, { name = 'a', text = 'y' }]", "the same name"),
        ("prompts = [{ name = 'a', text = 'x', arguments = [{}] }]", "needs a name"),
        (
            "prompts = [{ name = 'a', text = 'x', arguments = [{ name = 'b', required = 1 }] }]",
            "required is true or false",
        ),
    ],
)
def test_prompts_and_hints_that_cannot_be_read_are_refused_with_their_place(
    tmp_path: Path, declared: str, sentence: str
) -> None:
    message = refused(
        write(tmp_path, "agenthub.toml", f"[agents.one]\npath = './a.py:g'\n{declared}")
    )
    assert sentence in message
    assert "agents.one" in message
