"""The description at `/openapi.json`, from the models that check the requests, and a page to read it."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from agenthub.json import JsonObject, dumps
from agenthub_rest.answers import Problem
from agenthub_rest.operations import OPERATIONS, Operation

REFERENCE: Final = "#/components/schemas/{model}"
UUIDS: Final = frozenset({"thread_id", "run_id", "cron_id", "delivery_id"})
BARE: Final[dict[str, JsonObject]] = {
    "any": {},
    "count": {"type": "integer", "minimum": 0},
    "object": {"type": "object"},
    "list": {"type": "array"},
}
MALFORMED: Final = "The request is none of this protocol's, or of this version."
REFUSALS: Final = {
    "401": "The caller is not known.",
    "403": "The caller may not do this.",
    "404": "There is no such thing, or it is not the caller's.",
    "409": "What is there forbids it.",
    "413": "The body is too large.",
    "422": "The request cannot be understood.",
    "429": "A limit is reached.",
    "500": "The server failed.",
    "501": "This installation cannot do it.",
    "503": "The hub or the agent cannot serve this now.",
}
PAGING: Final[JsonObject] = {
    "X-Pagination-Total": {
        "description": "How many there are.",
        "schema": {"type": "integer"},
    },
    "X-Pagination-Next": {
        "description": "The offset of the next page, if there is one.",
        "schema": {"type": "integer"},
    },
}


def specification() -> JsonObject:
    """An OpenAPI 3.1 document."""
    models = {Problem: None}
    for operation in OPERATIONS.values():
        models |= dict.fromkeys(_models(operation))
    keys, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    schemas: dict[Any, JsonObject] = {model: schema for (model, _), schema in keys.items()}
    components: JsonObject = definitions.get("$defs", {})
    for operation in OPERATIONS.values():
        if _selects(operation) and not isinstance(operation.answer, str):
            name = operation.answer.__name__
            whole: JsonObject = components[name]
            components[_part(name)] = {k: v for k, v in whole.items() if k != "required"}
    paths: JsonObject = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Agent Hub",
            "version": version("agenthub"),
            "description": "Runs of agents, on threads and stateless. The clients of LangGraph "
            "(`langgraph-sdk`, `@langchain/langgraph-sdk`) speak it.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(o.tag for o in OPERATIONS.values())],
        "paths": paths,
        "components": {"schemas": components},
    }


def _selects(operation: Operation) -> bool:
    """Whether a client may ask for some fields only."""
    fields = {} if operation.body is None else operation.body.model_fields
    return "select" in fields or "select" in (operation.query or {})


def _part(name: str) -> str:
    return name.replace("Answer", "Selection")


def _models(operation: Operation) -> list[type[BaseModel]]:
    found = [] if operation.body is None else [operation.body]
    return found if isinstance(operation.answer, str) else [*found, operation.answer]


def _operation(
    method: str, path: str, operation: Operation, schemas: dict[Any, JsonObject]
) -> JsonObject:
    name = re.sub(r"[^a-z]+", "_", f"{method} {path}".lower()).strip("_")
    described: JsonObject = {
        "operationId": name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(method, path, operation),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "content": {"application/json": {"schema": schemas[operation.body]}}
        }
    return described


def _parameters(method: str, path: str, operation: Operation) -> list[JsonObject]:
    found: list[JsonObject] = [
        {
            "in": "path",
            "name": name,
            "required": True,
            "schema": {"type": "string", "format": "uuid"} if name in UUIDS else {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]
    found += [
        {"in": "query", "name": name, "schema": schema}
        for name, schema in (operation.query or {}).items()
    ]
    if operation.answer == "events":
        found.append(_header("Last-Event-ID", "The event after which to go on."))
    if method == "POST" and operation.body is not None and "RunCreate" in operation.body.__name__:
        found.append(_header("Idempotency-Key", "The same request with the same key runs once."))
    return found


def _header(name: str, description: str) -> JsonObject:
    schema = {"type": "string", "maxLength": 255}
    return {"in": "header", "name": name, "description": description, "schema": schema}


def _responses(operation: Operation, schemas: dict[Any, JsonObject]) -> JsonObject:
    problem = {"application/json": {"schema": schemas[Problem]}}
    refused: JsonObject = {
        status: {"description": text, "content": problem} for status, text in REFUSALS.items()
    }
    # the event-streaming protocol has a form of its own
    refused["400"] = {"description": MALFORMED}
    good: JsonObject = {"description": operation.summary}
    if operation.answer == "events":
        good["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif operation.answer == "page":
        good["content"] = {"text/html": {"schema": {"type": "string"}}}
    elif operation.answer != "nothing":
        schema = (
            BARE[operation.answer]
            if isinstance(operation.answer, str)
            else schemas[operation.answer]
        )
        if _selects(operation) and not isinstance(operation.answer, str):
            schema = {"$ref": REFERENCE.format(model=_part(operation.answer.__name__))}
        if operation.many:
            schema = {"type": "array", "items": schema}
            good["headers"] = PAGING
        good["content"] = {"application/json": {"schema": schema}}
    return {str(operation.status): good, **refused}


STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
summary { cursor: pointer; padding: .3rem 0 } code { font-size: .95em }
b { display: inline-block; min-width: 4.5rem } pre { background: #8881; padding: 1rem; overflow: auto }
span { color: #777; margin-left: .7rem }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } }
"""


def page(document: JsonObject) -> str:
    """The description as one page that needs nothing from anywhere else."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_entry(method, path, operation))
    parts = [f"<h2>{escape(tag)}</h2>{''.join(found)}" for tag, found in by_tag.items()]
    models = [
        _details(f"<code>{escape(name)}</code>", schema)
        for name, schema in sorted(document["components"]["schemas"].items())
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{title} {escape(document['info']['version'])}</h1>"
        f'<p>{escape(document["info"]["description"])} <a href="openapi.json">OpenAPI</a></p>'
        f"{''.join(parts)}<h2>Models</h2>{''.join(models)}</html>"
    )


def _entry(method: str, path: str, operation: JsonObject) -> str:
    head = (
        f"<b>{method.upper()}</b> <code>{escape(path)}</code>"
        f"<span>{escape(operation['summary'])}</span>"
    )
    shown = {k: v for k, v in operation.items() if k in ("parameters", "requestBody", "responses")}
    shown["responses"] = {
        status: answer for status, answer in shown["responses"].items() if status < "300"
    }
    return _details(head, shown)


def _details(head: str, body: JsonObject) -> str:
    text = json.dumps(body, indent=2)
    return f"<details><summary>{head}</summary><pre>{escape(text)}</pre></details>"


def encoded() -> tuple[bytes, bytes]:
    """The document and the page, as they are sent."""
    document = specification()
    return dumps(document), page(document).encode()
