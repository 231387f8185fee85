"""A project's own web application, served beside the hub (`http.app`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from agenthub.errors import Invalid
from agenthub.project import read_project
from agenthub_server.cli.serve import serving
from testkit.hub import settings

WEB = """
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route


class Stamp:
    def __init__(self, app, stamp):
        self.app, self.stamp = app, stamp

    async def __call__(self, scope, receive, send):
        async def stamped(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-stamp", self.stamp))
            await send(message)

        await self.app(scope, receive, stamped)


@asynccontextmanager
async def lifespan(_):
    yield {"greeting": "hello"}


async def hello(request):
    return JSONResponse({"says": request.state.greeting})


async def ours(_):
    return JSONResponse("not the hub's")


app = Starlette(
    routes=[Route("/hello", hello), Route("/info", ours), Route("/docs", ours)],
    middleware=[Middleware(Stamp, stamp=b"1")],
    lifespan=lifespan,
)
"""


def project_with(folder: Path, http: dict[str, object]) -> Path:
    (folder / "web.py").write_text(WEB, "utf-8")
    file = folder / "langgraph.json"
    file.write_text(json.dumps({"graphs": {}, "http": http}), "utf-8")
    return file


@pytest.fixture
async def client(dsn: str, redis_url: str, tmp_path: Path) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of a server for a project with an application of its own."""
    http = {
        "app": "./web.py:app",
        "disable_a2a": True,
        "cors": {"allow_origins": ["https://x.org"]},
    }
    config = settings(dsn, redis_url)
    async with serving(config, read_project(project_with(tmp_path, http))) as (server, _):
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
            assert not running.done()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{config.port}") as made:
            yield made
        server.should_exit = True
        await running


async def test_its_routes_are_served_with_its_lifespans_state(client: httpx.AsyncClient) -> None:
    assert (await client.get("/hello")).json() == {"says": "hello"}


async def test_its_routes_come_before_the_hubs_but_for_the_documentation(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get("/info")).json() == "not the hub's"
    assert "not the hub's" not in (await client.get("/docs")).text


async def test_its_middleware_sees_every_request_once(client: httpx.AsyncClient) -> None:
    for path in ("/hello", "/ok"):
        assert (await client.get(path)).headers.get_list("x-stamp") == ["1"]


async def test_a_surface_that_it_does_without_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.post("/agents/a/a2a", json={})).status_code == 404


async def test_its_origins_are_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ok", headers={"origin": "https://x.org"})
    assert answer.headers["access-control-allow-origin"] == "https://x.org"
    other = await client.get("/ok", headers={"origin": "https://y.org"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("./web.py:nothing", "cannot be loaded"),
        ("./web.py:WEB", "cannot be loaded"),
        ("json:dumps", "no Starlette"),
    ],
)
async def test_an_application_that_is_none_is_refused_with_a_sentence(
    dsn: str, redis_url: str, tmp_path: Path, app: str, why: str
) -> None:
    project = read_project(project_with(tmp_path, {"app": app}))
    with pytest.raises(Invalid, match=why):
        async with serving(settings(dsn, redis_url), project):
            pass
