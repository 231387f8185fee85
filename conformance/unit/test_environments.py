"""Environments of agents: how they are described, what tells them apart, and where the hub comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agenthub.environments import Environment, read_environments
from agenthub.errors import Invalid
from agenthub_server.environments import NotBuilt, building, interpreter
from agenthub_server.environments.own import with_own


class Installed:
    """A distribution as `importlib.metadata` tells of it."""

    version = "1.2.3"
    requires: Sequence[str] = ("langgraph>=1",)

    def __init__(self, direct_url: Any = None) -> None:
        self.direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.direct_url is None else json.dumps(self.direct_url)


def read(root: Path, **tables: Any) -> dict[str, Environment]:
    return read_environments({"environments": tables}, root, "agenthub.toml")


def test_paths_do_not_depend_on_where_they_are_read(tmp_path: Path) -> None:
    lines = [
        "agenthub[crewai]",
        " -r crew.txt",
        "--constraint=c.txt",
        "-e ./lib",
        "./wheel.whl",
        "httpx",
    ]
    (crew,) = read(tmp_path, crew={"requirements": lines}).values()
    assert crew.requirements == (
        "agenthub[crewai]",
        f"-r {tmp_path / 'crew.txt'}",
        f"--constraint {tmp_path / 'c.txt'}",
        f"-e {tmp_path / 'lib'}",
        f"{tmp_path / 'wheel.whl'}",
        "httpx",
    )


def test_an_interpreter_may_be_given_instead(tmp_path: Path) -> None:
    found = read(tmp_path, own={"python": "venv/bin/python"}, far={"python": "/opt/python"})
    assert found["own"].python == tmp_path / "venv/bin/python"
    assert found["far"].python == Path("/opt/python")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({}, "needs either requirements or python"),
        ({"python": "x", "requirements": []}, "needs either requirements or python"),
        ({"requirements": "httpx"}, "requirements is a list of texts"),
        ({"requirements": [1]}, "requirements is a list of texts"),
        ({"python": 3}, "python is the path of an interpreter"),
        ({"pyhton": "x"}, "unknown pyhton; known: python, requirements"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path: Path, table: Any, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read(tmp_path, crew=table)


def test_a_name_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="a name has letters"):
        read(tmp_path, **{"../crew": {"requirements": []}})


def test_an_environment_is_known_by_its_files_and_what_these_name(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "crew.txt").write_text("-r sub/more.txt\ncrewai\n")
    (tmp_path / "sub" / "more.txt").write_text("httpx\n-r ../crew.txt\n")
    (crew,) = read(tmp_path, crew={"requirements": ["-r crew.txt", "-r gone.txt"]}).values()
    names = [file.resolve().relative_to(tmp_path).as_posix() for file in crew.files()]
    assert set(names) == {"crew.txt", "sub/more.txt"}
    digest = building._digest(crew, crew.requirements, "own")  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "sub" / "more.txt").write_text("httpx>1\n")
    assert digest != building._digest(crew, crew.requirements, "own")  # pyright: ignore[reportPrivateUsage]


def test_the_hub_in_an_environment_is_this_one(tmp_path: Path) -> None:
    def line(direct_url: Any, *lines: str) -> Sequence[str]:
        return with_own(lines, Installed(direct_url))[0]  # pyright: ignore[reportArgumentType]

    checkout = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    wheel = {"url": "file:///builds/agenthub-1.2.3-py3-none-any.whl", "archive_info": {}}
    assert line(checkout, "agenthub[crewai]", "httpx") == [f"-e {tmp_path}[crewai]", "httpx"]
    assert line(wheel, "agenthub [adk]") == [f"agenthub[adk] @ {wheel['url']}"]
    assert line(None, "Agenthub") == ["agenthub==1.2.3"]
    assert line(None, "agenthub-extras", "httpx") == ["agenthub-extras", "httpx", "agenthub==1.2.3"]


def test_a_hub_with_other_dependencies_makes_another_environment() -> None:
    before, after = Installed(), Installed()
    after.requires = ("langgraph>=2",)
    told = [with_own([], one)[1] for one in (before, after)]  # pyright: ignore[reportArgumentType]
    assert told[0] != told[1]


async def test_an_environment_that_nobody_described_is_the_hubs_own(tmp_path: Path) -> None:
    assert await interpreter(None, tmp_path, print) == Path(sys.executable)


async def test_an_interpreter_without_the_hub_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\nexit 1\n")
    bare.chmod(0o755)
    with pytest.raises(NotBuilt, match="install agenthub into it"):
        await interpreter(Environment(name="own", python=bare), tmp_path, print)
    with pytest.raises(NotBuilt, match="does not exist"):
        await interpreter(Environment(name="own", python=tmp_path / "gone"), tmp_path, print)


async def test_an_interpreter_with_the_hub_is_taken_as_it_is(tmp_path: Path) -> None:
    python = Path(sys.executable)
    assert await interpreter(Environment(name="own", python=python), tmp_path, print) == python
