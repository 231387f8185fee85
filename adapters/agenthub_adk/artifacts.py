"""Artifacts of a session and of a user, in the hub's store."""

from __future__ import annotations

from typing import Any

from agenthub.adapting import Io, label
from agenthub.json import Json, JsonObject
from agenthub_adk import messages as m

_USER = "user:"
_INDEX = "artifact-names"
_DATA = ("artifacts",)


class Artifacts:
    """ADK's `BaseArtifactService`, for one step. Files of a user have names that begin with `user:`.

    A file's versions are one value, `[version, …]`, and what each of them holds is a value of its own.
    """

    def __init__(self, io: Io) -> None:
        self.io = io

    async def save_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        artifact: Any,
        session_id: str | None = None,
        custom_metadata: JsonObject | None = None,
    ) -> int:
        """Keep a new version; its number, from 0."""
        part = m.sdk("google.adk.artifacts.base_artifact_service").ensure_part(artifact)
        place = _place(user_id, session_id, filename)
        versions = await self._versions(user_id, session_id, filename)
        number = len(versions)
        data = part.inline_data
        mime_type = "text/plain" if part.text is not None else getattr(data, "mime_type", None)
        made = self._version_type()(
            version=number,
            canonical_uri=f"agenthub://{place}/{filename}/versions/{number}",
            custom_metadata=custom_metadata or {},
            mime_type=mime_type,
        )
        versions.append(made.model_dump(mode="json", exclude_none=True))
        body = part.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self.io.keep(_DATA, _key(place, filename, number), body)
        await self.io.keep(_names(place), filename, versions)
        return number

    async def load_artifact(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> Any:
        """A version, or the latest; None when there is none."""
        found = await self._versions(user_id, session_id, filename)
        number = len(found) - 1 if version is None else version
        if not 0 <= number < len(found):
            return None
        key = _key(_place(user_id, session_id, filename), filename, number)
        body = await self.io.recall(_DATA, key)
        return None if body is None else m.sdk("google.genai.types").Part.model_validate(body)

    async def list_artifact_keys(
        self, *, app_name: str, user_id: str, session_id: str | None = None
    ) -> list[str]:
        """The names of a session's and its user's files."""
        names = set(await self.io.recall_all(_names(_place(user_id, None, _USER))))
        if session_id is not None:
            names |= set(await self.io.recall_all(_names(_place(user_id, session_id, ""))))
        return sorted(names)

    async def delete_artifact(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> None:
        """Remove all versions of a file."""
        place = _place(user_id, session_id, filename)
        for number in range(len(await self._versions(user_id, session_id, filename))):
            await self.io.keep(_DATA, _key(place, filename, number), None)
        await self.io.keep(_names(place), filename, None)

    async def list_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[int]:
        """The numbers of a file's versions."""
        return list(range(len(await self._versions(user_id, session_id, filename))))

    async def list_artifact_versions(
        self, *, app_name: str, user_id: str, filename: str, session_id: str | None = None
    ) -> list[Any]:
        """What is known of a file's versions."""
        found = await self._versions(user_id, session_id, filename)
        return [self._version_type().model_validate(one) for one in found]

    async def get_artifact_version(
        self,
        *,
        app_name: str,
        user_id: str,
        filename: str,
        session_id: str | None = None,
        version: int | None = None,
    ) -> Any:
        """What is known of one version, or of the latest."""
        found = await self._versions(user_id, session_id, filename)
        number = len(found) - 1 if version is None else version
        if not 0 <= number < len(found):
            return None
        return self._version_type().model_validate(found[number])

    async def _versions(
        self, user_id: str, session_id: str | None, filename: str
    ) -> list[JsonObject]:
        found: Json = await self.io.recall(_names(_place(user_id, session_id, filename)), filename)
        return list(found or ())

    def _version_type(self) -> Any:
        return m.sdk("google.adk.artifacts.base_artifact_service").ArtifactVersion


def service(io: Io) -> Any:
    """The service as ADK takes it."""
    m.sdk("google.adk.artifacts.base_artifact_service").BaseArtifactService.register(Artifacts)
    return Artifacts(io)


def _place(user_id: str, session_id: str | None, filename: str) -> str:
    if session_id is None or filename.startswith(_USER):
        return f"users/{user_id}"
    return f"sessions/{session_id}"


def _names(place: str) -> tuple[str, ...]:
    return _INDEX, label(place)


def _key(place: str, filename: str, number: int) -> str:
    return f"{place}/{filename}/{number}"
