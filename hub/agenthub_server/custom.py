"""A project's own web application beside the hub's, as `http.app` of a langgraph.json names it.

It is code for servers, so it lives in the server's environment. Its routes come first, and its middleware
sees the hub's requests too, as users of the Agent Server know it (agent-server.md §5.3).
"""

from __future__ import annotations

import sys

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from agenthub.errors import Invalid
from agenthub.importing import module_of
from agenthub.project import Project

OURS = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
"""Pages that FastAPI adds by itself; here they are the hub's."""


def load(project: Project | None) -> Starlette | None:
    """The application that a project names, if it does.

    Raises:
        Invalid: it cannot be imported, or is no Starlette or FastAPI application.
    """
    if project is None or project.http.app is None:
        return None
    file, _, name = project.http.app.rpartition(":")
    if str(project.root) not in sys.path:
        sys.path.insert(0, str(project.root))
    try:
        app = getattr(module_of(file), name)
    except Exception as error:  # whatever its code raises
        raise Invalid(f"http.app {project.http.app!r} cannot be loaded: {error}") from error
    if not isinstance(app, Starlette):
        raise Invalid(f"http.app {project.http.app!r} is no Starlette or FastAPI application")
    return app


class Beside:
    """The project's application where it has a route, the hub's behind its middleware elsewhere."""

    def __init__(self, hub: ASGIApp, own: Starlette) -> None:
        self.own = own
        self.routes = [route for route in own.routes if not _is_ours(route)]
        self.hub = hub
        for middleware in reversed(own.user_middleware):
            self.hub = middleware.cls(self.hub, *middleware.args, **middleware.kwargs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and any(
            route.matches(scope)[0] is Match.FULL for route in self.routes
        ):
            await self.own(scope, receive, send)
        else:
            await self.hub(scope, receive, send)


def _is_ours(route: BaseRoute) -> bool:
    return getattr(route, "path", None) in OURS
