"""A surface: one protocol's view of the hub, as the server mounts it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol


class Surface(Protocol):
    """What a protocol package gives to the composition root. `routes` are Starlette routes; the
    context of `running()` is open while the server serves."""

    @property
    def routes(self) -> Sequence[Any]: ...

    def running(self) -> AbstractAsyncContextManager[None]: ...
