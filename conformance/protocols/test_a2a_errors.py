"""Every refusal of the hub has its A2A error, and none can be added without one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from a2a.server.request_handlers.response_helpers import build_error_response
from a2a.types.a2a_pb2 import GetTaskRequest
from a2a.utils.errors import (
    A2A_ERROR_MAPPING,
    JSON_RPC_ERROR_CODE_MAP,
    A2AError,
    InternalError,
    InvalidParamsError,
    TaskNotFoundError,
)

from agenthub.errors import HubError, Invalid, NotFound
from agenthub.interrupts import unknown
from agenthub_a2a.errors import TABLE, to_a2a, translated


def every(kind: type[HubError]) -> Iterator[type[HubError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from every(derived)


@pytest.mark.parametrize("kind", sorted(every(HubError), key=lambda kind: kind.__name__))
def test_every_error_of_the_hub_stands_in_the_table(kind: type[HubError]) -> None:
    assert kind in TABLE
    assert TABLE[kind] in JSON_RPC_ERROR_CODE_MAP
    assert TABLE[kind] in A2A_ERROR_MAPPING


@pytest.mark.parametrize("kind", sorted(TABLE, key=lambda kind: kind.__name__))
def test_an_error_keeps_its_sentence_and_names_its_code(kind: type[HubError]) -> None:
    error = to_a2a(kind("it cannot be done", task_id="t", open=["a", "b"]))
    answer = build_error_response("1", error)["error"]
    assert answer["message"] == "it cannot be done"
    info = answer["data"][0]
    assert info["domain"] == "a2a-protocol.org"
    assert info["metadata"] == {"code": kind.code, "task_id": "t", "open": "a, b"}
    json.dumps(answer)


def test_an_answer_to_a_question_that_is_not_open_names_those_that_are() -> None:
    error = to_a2a(unknown(["c"], ["a", "b"]))
    assert isinstance(error, InvalidParamsError)
    assert error.data == {"code": "unknown_interrupt", "open": "a, b"}


def test_a_missing_required_field_is_named() -> None:
    with pytest.raises(InvalidParamsError) as refused, translated(GetTaskRequest()):
        pass
    assert refused.value.data == {"errors": [{"field": "id", "message": "Field is required."}]}


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (NotFound("no"), TaskNotFoundError),
        (Invalid("no"), InvalidParamsError),
        (TaskNotFoundError("no"), TaskNotFoundError),
        (ZeroDivisionError("secret"), InternalError),
    ],
)
def test_only_a2a_errors_leave_an_operation(raised: Exception, seen: type[A2AError]) -> None:
    with pytest.raises(seen) as caught, translated(GetTaskRequest(id="t")):
        raise raised
    assert "secret" not in str(caught.value)
