"""Enum values in ProtoJSON, checked before the parser sees them.

Protobuf can ignore unknown fields or refuse unknown enum values, not both: with the first, a filter
`TASK_STATE_RUNNING` would silently list everything.
"""

from __future__ import annotations

from typing import cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from agenthub.json import Json, JsonObject


def unknown_enum(kind: type[Message], body: JsonObject) -> str | None:
    """A sentence about the first enum value in `body` that does not exist; None if all do."""
    # the C implementation's descriptors have the same interface, and a type of their own
    return _in_message(cast("Descriptor", kind.DESCRIPTOR), body)


def _in_message(descriptor: Descriptor, body: JsonObject) -> str | None:
    for field in descriptor.fields:
        for name in (field.json_name, field.name):
            if name in body and (wrong := _in_field(field, name, body[name])) is not None:
                return wrong
    return None


def _in_field(field: FieldDescriptor, name: str, value: Json) -> str | None:
    for item in cast("list[Json]", value) if isinstance(value, list) else [value]:
        if field.enum_type is not None and not _known(field.enum_type, item):
            return f"{name} {item!r} is not one of {', '.join(field.enum_type.values_by_name)}"
        nested = field.message_type
        if nested is None or nested.file.package == "google.protobuf" or not isinstance(item, dict):
            continue
        if (wrong := _in_message(nested, cast("JsonObject", item))) is not None:
            return wrong
    return None


def _known(enum: EnumDescriptor, value: Json) -> bool:
    if isinstance(value, str):
        return value in enum.values_by_name
    # other types are for the parser to refuse
    return value in enum.values_by_number if isinstance(value, int) else True
