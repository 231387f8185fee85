"""The serializer of checkpoints: LangGraph's own, with a short way for lists of chat messages.

A thread's messages are read once and written twice with every turn, and most of what a turn on a long
thread costs is that. Upstream looks for a message's class and validates each field anew; here messages
that carry exactly the fields of their class are put together as `pickle` would. Whatever is not of that
kind goes upstream's way, and the bytes are the same: each side reads what the other has written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import ormsgpack
from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agenthub_langgraph.encode import PLAIN_MESSAGES, dumped

# what upstream writes and reads with
WRITING: Final = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_UUID
    | ormsgpack.OPT_REPLACE_SURROGATES
)
READING: Final = ormsgpack.OPT_NON_STR_KEYS

_PACKAGE = BaseMessage.__module__.rpartition(".")[0].encode()
_WITHIN = 40
"""The first message's module stands within so many bytes of a list's beginning."""


class _Unusual(Exception):
    """Upstream knows what to do with it."""


def _form() -> tuple[int, str] | None:
    """How upstream writes a message: the extension's code, and the last of its four parts. None if a version
    of upstream writes something else, and then everything goes its way."""
    seen: list[tuple[int, Any]] = []

    def see(code: int, data: bytes) -> None:
        seen.append((code, ormsgpack.unpackb(data, option=READING)))

    message = HumanMessage("")
    ormsgpack.unpackb(JsonPlusSerializer().dumps_typed([message])[1], ext_hook=see, option=READING)
    match seen:
        case [(code, [module, name, values, str(method)])]:
            same = (module, name) == _name(HumanMessage) and values == message.model_dump()
            return (code, method) if same else None
        case _:
            return None


def _name(kind: type[BaseMessage]) -> tuple[str, str]:
    return kind.__module__, kind.__name__


_FORM: Final = _form()
_KINDS: Final[dict[type[BaseMessage], tuple[str, str]]] = {
    kind: _name(kind) for kind in PLAIN_MESSAGES if _FORM is not None
}
_NAMED: Final = {name: (kind, kind.model_fields.keys()) for kind, name in _KINDS.items()}


class MessageSerializer(JsonPlusSerializer):
    """`JsonPlusSerializer`, several times as fast with messages."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """See upstream."""
        if type(obj) is list and obj and type(cast("list[Any]", obj)[0]) in _KINDS:
            try:
                return "msgpack", ormsgpack.packb(obj, default=_extension, option=WRITING)
            except (TypeError, _Unusual):
                pass
        return super().dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """See upstream."""
        kind, payload = data
        if kind == "msgpack" and _KINDS and _PACKAGE in payload[:_WITHIN]:
            try:
                return ormsgpack.unpackb(payload, ext_hook=_message, option=READING)
            except (ValueError, _Unusual):
                pass
        return super().loads_typed(data)


def serializer(allowed: Iterable[tuple[str, ...]] | None) -> JsonPlusSerializer:
    """Never pickle. Types in `allowed` come back as themselves, all others as data."""
    serde = MessageSerializer(pickle_fallback=False)
    return serde.with_msgpack_allowlist(allowed) if allowed else serde


def _extension(value: Any) -> ormsgpack.Ext:
    name = _KINDS.get(cast("type[BaseMessage]", type(value)))
    if name is None or _FORM is None:
        raise _Unusual
    code, method = _FORM
    parts = (*name, dumped(value), method)
    return ormsgpack.Ext(code, ormsgpack.packb(parts, default=_unusual, option=WRITING))


def _unusual(_: Any) -> Any:
    raise _Unusual


def _message(code: int, data: bytes) -> BaseMessage:
    if _FORM is None or code != _FORM[0]:
        raise _Unusual
    module, name, values, _ = ormsgpack.unpackb(data, ext_hook=_message, option=READING)
    kind, fields = _NAMED.get((module, name), (None, None))
    if kind is None or values.keys() != fields:
        raise _Unusual
    message = kind.__new__(kind)
    message.__setstate__(
        {
            "__dict__": values,
            "__pydantic_fields_set__": set(values),
            "__pydantic_extra__": {},
            "__pydantic_private__": None,
        }
    )
    return message
