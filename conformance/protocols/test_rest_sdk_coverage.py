"""Every method of the official client is called somewhere in the REST tests, so that none is forgotten.

Calls are found in the tests' source: whether they do what they should is those tests' matter.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
from langgraph_sdk._async.assistants import AssistantsClient
from langgraph_sdk._async.cron import CronClient
from langgraph_sdk._async.runs import RunsClient
from langgraph_sdk._async.store import StoreClient
from langgraph_sdk._async.threads import ThreadsClient

HERE = Path(__file__).parent
CLIENTS: dict[str, type] = {
    "assistants": AssistantsClient,
    "threads": ThreadsClient,
    "runs": RunsClient,
    "crons": CronClient,
    "store": StoreClient,
}
RECORDED = {
    "assistants": "count create delete get get_graph get_schemas get_subgraphs get_versions search "
    "set_latest update",
    "threads": "copy count create delete get get_history get_state join_stream prune search stream "
    "update update_state",
    "runs": "cancel cancel_many create create_batch delete get join join_stream list stream wait",
    "crons": "count create create_for_thread delete search update",
    "store": "delete_item get_item list_namespaces put_item search_items",
}
"""What version 0.4.14 of the client can do: what a later one adds has to be looked at."""


def methods(client: type) -> set[str]:
    return {
        name
        for name, value in inspect.getmembers(client, inspect.isfunction)
        if not name.startswith("_")
    }


def called() -> set[tuple[str, str]]:
    """`(group, method)` of every `….group.method(…)` in the REST tests."""
    found: set[tuple[str, str]] = set()
    for file in HERE.glob("test_rest_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=method, value=ast.Attribute(attr=group))) if (
                    group in CLIENTS
                ):
                    found.add((group, method))
                case ast.Call(func=ast.Attribute(attr=method, value=ast.Name(id=group))) if (
                    group in CLIENTS
                ):
                    found.add((group, method))
                case _:
                    pass
    return found


@pytest.mark.parametrize("group", CLIENTS)
def test_the_client_has_the_methods_that_were_looked_at(group: str) -> None:
    assert methods(CLIENTS[group]) == set(RECORDED[group].split())


@pytest.mark.parametrize("group", CLIENTS)
def test_every_method_of_the_client_is_called(group: str) -> None:
    uncalled = set(RECORDED[group].split()) - {name for kind, name in called() if kind == group}
    assert not uncalled
