"""A thread's session for one step: ADK's own service in memory, filled from what the hub keeps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agenthub.adapting import Inbound, Io, label
from agenthub.json import Json, JsonObject
from agenthub_adk import messages as m
from agenthub_adk.artifacts import service as artifact_service

_USER, _APP = "user:", "app:"
_OF_APP = ("state", "app")


class Stage:
    """A runner with services of its own. Agents bear many at once; sessions are the thread's."""

    def __init__(self, runner: Any, io: Io, user_id: str, session_id: str) -> None:
        self.runner = runner
        self.io = io
        self.user_id = user_id
        self.session_id = session_id

    @property
    def session(self) -> Any:
        """The session as ADK keeps it."""
        sessions = self.runner.session_service.sessions
        return sessions[self.runner.app_name][self.user_id][self.session_id]

    def state(self) -> JsonObject:
        """The thread's state."""
        dumped = self.session.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"session": m.plain(dumped)}

    async def keep(self, delta: Mapping[str, Any]) -> None:
        """Keep what an event says of the user and of the app: other threads see it, too."""
        for prefix, scope in ((_USER, _of_user(self.user_id)), (_APP, _OF_APP)):
            for name, value in delta.items():
                if name.startswith(prefix):
                    # each by itself: another thread may be here at the same time
                    await self.io.keep(scope, name.removeprefix(prefix), m.plain(value))


async def stage(obj: Any, state: Json, inbound: Inbound, io: Io) -> Stage:
    """A runner for one step of an agent, a workflow, an app or a runner."""
    sessions = m.sdk("google.adk.sessions")
    service = sessions.InMemorySessionService()
    runner = _runner(obj, service, io)
    kept: JsonObject = state or {}
    session_id, user_id, app = inbound.thread_id or "thread", inbound.user_id, runner.app_name
    # a thread may have been copied, an agent renamed, and another user may speak now
    named = {"id": session_id, "app_name": app, "user_id": user_id}
    if kept.get("session"):
        session = sessions.Session.model_validate(kept["session"]).model_copy(update=named)
    else:
        session = sessions.Session(**named)
    service.sessions = {app: {user_id: {session_id: session}}}
    service.user_state = {app: {user_id: dict(await io.recall_all(_of_user(user_id)))}}
    service.app_state = {app: dict(await io.recall_all(_OF_APP))}
    return Stage(runner, io, user_id, session_id)


def _of_user(user_id: str) -> tuple[str, ...]:
    return "state", "users", label(user_id)


def root_of(obj: Any) -> Any:
    """The agent or workflow that an app or a runner begins with; by type, as agents have a `root_agent`,
    too, which is another thing."""
    found = kinds(obj)
    if RUNNER in found:
        return obj.agent
    return obj.root_agent if APP in found else obj


RUNNER = "google.adk.runners.Runner"
APP = "google.adk.apps.app.App"


def kinds(obj: Any) -> set[str]:
    """The names of an object's classes."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(obj).__mro__}


def _runner(obj: Any, service: Any, io: Io) -> Any:
    apps = m.sdk("google.adk.apps.app")
    found = kinds(obj)
    theirs: JsonObject = {}
    if RUNNER in found:
        app, name = obj.app, obj.app_name
        theirs = {
            "memory_service": obj.memory_service,
            "credential_service": obj.credential_service,
        }
    elif APP in found:
        app, name = obj, obj.name
    else:
        name = obj.name
        app = apps.App.model_construct(name=name, root_agent=obj, plugins=[])
    if app.resumability_config is None:
        # without it a confirmation costs a call of the model
        app = app.model_copy(update={"resumability_config": _resumable()})
    return m.sdk("google.adk.runners").Runner(
        app=app,
        app_name=name,
        session_service=service,
        artifact_service=_artifacts(obj, io),
        **theirs,
    )


@lru_cache
def _resumable() -> Any:
    with warnings.catch_warnings():
        # it is experimental, which is our business and not the user's
        warnings.simplefilter("ignore")
        return m.sdk("google.adk.apps.app").ResumabilityConfig(is_resumable=True)


def _artifacts(obj: Any, io: Io) -> Any:
    """The hub's store, unless a runner was given another place that lasts."""
    theirs = getattr(obj, "artifact_service", None) if RUNNER in kinds(obj) else None
    if theirs is None or type(theirs).__name__ == "InMemoryArtifactService":
        return artifact_service(io)
    return theirs
