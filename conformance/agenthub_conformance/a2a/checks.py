"""The checks, in the order of the requirements. Each asserts what an answer must be, and says what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final, cast
from uuid import uuid4

from agenthub_conformance.a2a.manifest import CARD, Check, Skipped
from agenthub_conformance.a2a.probe import EXTENSIONS, VERSION, Json, Probe, message

CHECKS: Final[dict[str, Check]] = {}
UNKNOWN: Final = "0190a5a5-0000-7000-8000-000000000000"
TERMINAL: Final = frozenset({"COMPLETED", "FAILED", "CANCELED", "REJECTED"})
ASKS, WAITS, FAILS = "tck-input-required", "tck-cancel", "tck-task-failure"
REQUIRED: Final = (
    "name", "description", "version", "supportedInterfaces", "capabilities", "defaultInputModes",
    "defaultOutputModes", "skills",
)  # fmt: skip


def requirement(id_: str) -> Callable[[Check], Check]:
    """Name the requirement that a check proves."""

    def marked(check: Callable[[Probe], Awaitable[None]]) -> Check:
        assert id_ not in CHECKS, f"{id_!r} has two checks"
        CHECKS[id_] = check
        return check

    return marked


def state(task: Json) -> str:
    return str(task["status"]["state"]).removeprefix("TASK_STATE_")


def same(got: Json, wanted: Json) -> None:
    assert got == wanted, f"{got!r} instead of {wanted!r}"


async def refused(probe: Probe, method: str, params: Json, *reasons: str) -> None:
    got = await probe.reason(method, params)
    assert got in reasons, f"{method} was {got or 'not refused'}, not {' or '.join(reasons)}"


def shape(events: list[Json]) -> list[Json]:
    """What a stream's updates say, without how they are cut."""
    return [e["statusUpdate"]["status"]["state"] for e in events if "statusUpdate" in e]


@requirement("send:blocking")
async def _(probe: Probe) -> None:
    same(state(await probe.send("hello")), "COMPLETED")
    same(state(await probe.send(ASKS)), "INPUT_REQUIRED")


@requirement("send:immediately")
async def _(probe: Probe) -> None:
    async with asyncio.timeout(15):
        task = await probe.send(WAITS, returnImmediately=True)
    assert state(task) not in TERMINAL, state(task)
    await probe.call("CancelTask", {"id": task["id"]})


@requirement("send:unknown-task")
async def _(probe: Probe) -> None:
    await refused(probe, "SendMessage", message("hello", task={"id": UNKNOWN}), "TASK_NOT_FOUND")


@requirement("send:ended-task")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    await refused(probe, "SendMessage", message("more", task=task), "UNSUPPORTED_OPERATION")


@requirement("send:required")
async def _(probe: Probe) -> None:
    said: Json = {"messageId": "1", "role": "ROLE_USER", "parts": []}
    await refused(probe, "SendMessage", {"message": said}, "INVALID_PARAMS")


@requirement("send:again")
async def _(probe: Probe) -> None:
    params = message("hello")
    first, again = [(await probe.call("SendMessage", params))["task"] for _ in range(2)]
    assert first["id"] != again["id"], "the second message joined the first one's task"


@requirement("send:failed")
async def _(probe: Probe) -> None:
    same(state(await probe.send(FAILS)), "FAILED")


@requirement("context:made")
async def _(probe: Probe) -> None:
    first, second = await probe.send("hello"), await probe.send("hello")
    assert first["contextId"], "there is none"
    assert first["contextId"] != second["contextId"], "one context for two"


@requirement("context:kept")
async def _(probe: Probe) -> None:
    for context_id in (str(uuid4()), "a context of mine"):
        params = message("hello", said={"contextId": context_id})
        if not await probe.reason("SendMessage", params):
            same(
                (await probe.send("hello", said={"contextId": context_id}))["contextId"], context_id
            )


@requirement("context:inferred")
async def _(probe: Probe) -> None:
    asked = await probe.send("tck-multi-turn")
    for text, then in (("again", "INPUT_REQUIRED"), ("go on", "COMPLETED")):
        answered = await probe.send(text, task=asked)
        same((answered["id"], answered["contextId"]), (asked["id"], asked["contextId"]))
        same(state(answered), then)
    same((await probe.call("GetTask", {"id": asked["id"]}))["contextId"], asked["contextId"])


@requirement("context:mismatch")
async def _(probe: Probe) -> None:
    asked, other = await probe.send(ASKS), await probe.send("hello")
    params = message("go on", task=asked, said={"contextId": other["contextId"]})
    assert await probe.reason("SendMessage", params), "it was accepted"


@requirement("stream:begins")
async def _(probe: Probe) -> None:
    events = await probe.told("hello")
    assert "task" in events[0], f"it begins with {sorted(events[0])}"


@requirement("stream:ends")
async def _(probe: Probe) -> None:
    last = (await probe.told("hello"))[-1]
    same(state(last["statusUpdate"]), "COMPLETED")


@requirement("stream:same")
async def _(probe: Probe) -> None:
    asked = await probe.send(ASKS)

    async def follow(ready: asyncio.Event) -> list[Json]:
        events: list[Json] = []
        async with aclosing(probe.stream("SubscribeToTask", {"id": asked["id"]})) as stream:
            async for event in stream:
                ready.set()
                events.append(event)
        return events

    readies = [asyncio.Event(), asyncio.Event()]
    async with asyncio.TaskGroup() as group:
        following = [group.create_task(follow(ready)) for ready in readies]
        for ready in readies:
            await ready.wait()
        await probe.send("go on", task=asked)
    one, other = [task.result()[1:] for task in following]
    same(shape(one), shape(other))
    assert shape(one), "they tell nothing"


@requirement("stream:chunks")
async def _(probe: Probe) -> None:
    events = await probe.told("tck-stream-chunked")
    chunks = [event["artifactUpdate"] for event in events if "artifactUpdate" in event]
    ids = [chunk["artifact"]["artifactId"] for chunk in chunks]
    growing = [chunk for chunk, id_ in zip(chunks, ids, strict=True) if ids.count(id_) > 1]
    if not growing:
        raise Skipped("its agent streams no artifact in chunks")
    task = next(event["task"] for event in events if "task" in event)
    read = await probe.call("GetTask", {"id": task["id"]})
    for id_ in sorted({chunk["artifact"]["artifactId"] for chunk in growing}):
        mine = [chunk for chunk in growing if chunk["artifact"]["artifactId"] == id_]
        same([bool(chunk.get("append")) for chunk in mine], [n > 0 for n in range(len(mine))])
        (whole,) = [one for one in read["artifacts"] if one["artifactId"] == id_]
        same(_text(whole), "".join(_text(chunk["artifact"]) for chunk in mine))


def _text(artifact: Json) -> str:
    return "".join(part.get("text", "") for part in artifact["parts"])


@requirement("stream:message")
async def _(probe: Probe) -> None:
    answer = await probe.call("SendMessage", message("tck-message-response"))
    if "message" not in answer:
        raise Skipped("its agent answers with tasks")
    same([list(event) for event in await probe.told("tck-message-response")], [["message"]])


@requirement("subscribe:snapshot")
async def _(probe: Probe) -> None:
    asked = await probe.send(ASKS)
    async with aclosing(probe.stream("SubscribeToTask", {"id": asked["id"]})) as stream:
        first = await anext(stream)
    same((first["task"]["id"], state(first["task"])), (asked["id"], "INPUT_REQUIRED"))


@requirement("subscribe:open")
async def _(probe: Probe) -> None:
    asked = await probe.send(ASKS)
    async with aclosing(probe.stream("SubscribeToTask", {"id": asked["id"]})) as stream:
        await anext(stream)
        await probe.send("go on", task=asked)
        rest = [event async for event in stream]
    assert rest, "it closed at the question"
    same(state(rest[-1]["statusUpdate"]), "COMPLETED")


@requirement("subscribe:ended")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    await refused(probe, "SubscribeToTask", {"id": task["id"]}, "UNSUPPORTED_OPERATION")


@requirement("subscribe:unknown")
async def _(probe: Probe) -> None:
    await refused(probe, "SubscribeToTask", {"id": UNKNOWN}, "TASK_NOT_FOUND")


@requirement("get:same")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    read = await probe.call("GetTask", {"id": task["id"]})
    same((read["id"], state(read)), (task["id"], state(task)))
    same(read.get("artifacts"), task.get("artifacts"))


@requirement("get:unknown")
async def _(probe: Probe) -> None:
    await refused(probe, "GetTask", {"id": UNKNOWN}, "TASK_NOT_FOUND")


@requirement("get:history")
async def _(probe: Probe) -> None:
    asked = await probe.send(ASKS)
    await probe.send("go on", task=asked)
    for length in (0, 1):
        read = await probe.call("GetTask", {"id": asked["id"], "historyLength": length})
        got = len(read.get("history") or ())
        assert got <= length, f"{got} messages for historyLength {length}"


@requirement("get:negative")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    await refused(probe, "GetTask", {"id": task["id"], "historyLength": -1}, "INVALID_PARAMS")


@requirement("list:context")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    await probe.send("hello")
    listed = await probe.call("ListTasks", {"contextId": task["contextId"]})
    same([one["id"] for one in listed["tasks"]], [task["id"]])


@requirement("list:status")
async def _(probe: Probe) -> None:
    asked = await probe.send(ASKS)
    query = {"contextId": asked["contextId"], "status": "TASK_STATE_INPUT_REQUIRED"}
    same(len((await probe.call("ListTasks", query))["tasks"]), 1)
    query["status"] = "TASK_STATE_COMPLETED"
    same(len((await probe.call("ListTasks", query)).get("tasks") or ()), 0)


@requirement("list:status-unknown")
async def _(probe: Probe) -> None:
    status: Json = 99 if probe.binding == "GRPC" else "TASK_STATE_RUNNING"
    await refused(probe, "ListTasks", {"status": status}, "INVALID_PARAMS", "INVALID_REQUEST")


@requirement("list:pages")
async def _(probe: Probe) -> None:
    made = [await probe.send("hello")]
    context_id = made[0]["contextId"]
    made += [await probe.send("hello", said={"contextId": context_id}) for _ in range(2)]
    query: Json = {"contextId": context_id, "pageSize": 2}
    first = await probe.call("ListTasks", query)
    same(first["totalSize"], 3)
    second = await probe.call("ListTasks", {**query, "pageToken": first["nextPageToken"]})
    found = [task["id"] for page in (first, second) for task in page["tasks"]]
    same(sorted(found), sorted(task["id"] for task in made))
    assert not second.get("nextPageToken"), "there is a page behind the last one"


@requirement("list:order")
async def _(probe: Probe) -> None:
    first = await probe.send("hello")
    last = await probe.send("hello", said={"contextId": first["contextId"]})
    listed = await probe.call("ListTasks", {"contextId": first["contextId"]})
    same([task["id"] for task in listed["tasks"]], [last["id"], first["id"]])


@requirement("list:artifacts")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    query: Json = {"contextId": task["contextId"]}
    (bare,) = (await probe.call("ListTasks", query))["tasks"]
    (whole,) = (await probe.call("ListTasks", {**query, "includeArtifacts": True}))["tasks"]
    same((bare.get("artifacts"), bool(whole.get("artifacts"))), (None, True))


@requirement("list:lean")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    query: Json = {"contextId": task["contextId"], "includeArtifacts": True}
    (listed,) = (await probe.call("ListTasks", query))["tasks"]
    assert not (empty := sorted(_empty(listed))), f"empty: {', '.join(empty)}"


def _empty(value: Json, name: str = "") -> set[str]:
    """The names of fields that say nothing; what agents and clients put in is theirs."""
    if name in ("data", "metadata"):
        return set()
    if isinstance(value, dict):
        fields = cast("dict[str, Json]", value).items()
        return set[str]().union(*(_empty(inner, key) for key, inner in fields))
    if isinstance(value, list) and value:
        return set[str]().union(*(_empty(one, name) for one in cast("list[Json]", value)))
    return {name} if value in ("", []) else set()


@requirement("list:size")
async def _(probe: Probe) -> None:
    for size in (0, 101):
        await refused(probe, "ListTasks", {"pageSize": size}, "INVALID_PARAMS")


@requirement("cancel:canceled")
async def _(probe: Probe) -> None:
    task = await probe.send(WAITS, returnImmediately=True)
    same(state(await probe.call("CancelTask", {"id": task["id"]})), "CANCELED")
    same(state(await probe.call("GetTask", {"id": task["id"]})), "CANCELED")


@requirement("cancel:ended")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    await refused(probe, "CancelTask", {"id": task["id"]}, "TASK_NOT_CANCELABLE")


@requirement("cancel:unknown")
async def _(probe: Probe) -> None:
    await refused(probe, "CancelTask", {"id": UNKNOWN}, "TASK_NOT_FOUND")


@requirement("cancel:metadata")
async def _(probe: Probe) -> None:
    task = await probe.send(WAITS, returnImmediately=True)
    params: Json = {"id": task["id"], "metadata": {"why": "not needed any more"}}
    same(state(await probe.call("CancelTask", params)), "CANCELED")


def config(task: Json) -> Json:
    return {"taskId": task["id"], "id": "one", "url": "https://example.com/hook"}


@requirement("push:kept")
async def _(probe: Probe) -> None:
    task = await probe.send(ASKS)
    made = await probe.call("CreateTaskPushNotificationConfig", config(task))
    asked = {"taskId": task["id"], "id": made["id"]}
    same((await probe.call("GetTaskPushNotificationConfig", asked))["url"], config(task)["url"])
    listed = await probe.call("ListTaskPushNotificationConfigs", {"taskId": task["id"]})
    same([one["id"] for one in listed["configs"]], [made["id"]])


@requirement("push:delivered")
async def _(probe: Probe) -> None:
    if probe.webhook is None:
        raise Skipped("no address was given that it may call")
    task = await probe.send(ASKS)
    path = f"/{task['id']}"
    credentials = {"scheme": "Bearer", "credentials": "theirs"}
    told = {**config(task), "url": probe.webhook.url + path, "authentication": credentials}
    await probe.call("CreateTaskPushNotificationConfig", told)
    await probe.send("go on", task=task)
    headers, body = await probe.webhook.until(path, _completed)
    same(headers.get("authorization"), "Bearer theirs")
    same(headers["content-type"].partition(";")[0], "application/a2a+json")
    assert {"task", "statusUpdate"} & set(body), f"{', '.join(body)} is no stream response"


def _completed(body: Json) -> bool:
    return "TASK_STATE_COMPLETED" in str(body)


@requirement("push:missing")
async def _(probe: Probe) -> None:
    task = await probe.send(ASKS)
    asked = {"taskId": task["id"], "id": "missing"}
    await refused(probe, "GetTaskPushNotificationConfig", asked, "TASK_NOT_FOUND")


@requirement("push:deleted")
async def _(probe: Probe) -> None:
    task = await probe.send(ASKS)
    await probe.call("CreateTaskPushNotificationConfig", config(task))
    asked = {"taskId": task["id"], "id": "one"}
    for _ in range(2):
        await probe.call("DeleteTaskPushNotificationConfig", asked)
    await refused(probe, "GetTaskPushNotificationConfig", asked, "TASK_NOT_FOUND")


async def _versions(probe: Probe, *versions: str) -> None:
    for version in versions:
        got = await probe.reason("ListTasks", {}, {VERSION: version})
        assert got == "VERSION_NOT_SUPPORTED", f"{version} was {got or 'not refused'}"


@requirement("version:unknown")
async def _(probe: Probe) -> None:
    await _versions(probe, "99.0")


@requirement("version:minor")
async def _(probe: Probe) -> None:
    await _versions(probe, "1.7")


@requirement("query:version")
async def _(probe: Probe) -> None:
    headers = {k: v for k, v in probe.headers.items() if k != VERSION}
    task = {"message": message("hello")["message"]}
    body: Json = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": task}
    path = "" if probe.binding == "JSONRPC" else "/message:send"
    sent = body if probe.binding == "JSONRPC" else task
    for version, fine in (("1.0", True), ("99.0", False)):
        url = f"{probe.url}{path}"
        answer = await probe.http.post(url, json=sent, headers=headers, params={VERSION: version})
        assert ("error" not in answer.json()) == fine, f"{version} was {answer.text[:80]}"


@requirement("extension:required")
async def _(probe: Probe) -> None:
    if EXTENSIONS not in probe.headers:
        raise Skipped("the card requires no extension")
    got = await probe.reason("SendMessage", message("hello"), {EXTENSIONS: "urn:another"})
    same(got, "EXTENSION_SUPPORT_REQUIRED")


@requirement("extended:absent")
async def _(probe: Probe) -> None:
    if probe.card["capabilities"].get("extendedAgentCard"):
        raise Skipped("the card has an extended one")
    await refused(probe, "GetExtendedAgentCard", {}, "UNSUPPORTED_OPERATION")


@requirement("http:card")
async def _(probe: Probe) -> None:
    missing = [name for name in REQUIRED if name not in probe.card]
    assert not missing, f"the card lacks {', '.join(missing)}"


@requirement("http:card-cache")
async def _(probe: Probe) -> None:
    headers: Mapping[str, str] = (await probe.http.get(probe.base + CARD)).headers
    assert "max-age" in headers.get("cache-control", ""), "no max-age"
    assert "etag" in headers, "no ETag"


@requirement("jsonrpc:parse")
async def _(probe: Probe) -> None:
    headers = {**probe.headers, "Content-Type": "application/json"}
    answer = await probe.http.post(probe.url, content=b"{", headers=headers)
    same(answer.json()["error"]["code"], -32700)


@requirement("jsonrpc:method")
async def _(probe: Probe) -> None:
    await refused(probe, "Nonsense", {}, "METHOD_NOT_FOUND")


@requirement("jsonrpc:id")
async def _(probe: Probe) -> None:
    for id_ in ("text", 7):
        body: Json = {"jsonrpc": "2.0", "id": id_, "method": "ListTasks", "params": {}}
        answer = await probe.http.post(probe.url, json=body, headers=probe.headers)
        same(answer.json()["id"], id_)


@requirement("http:type")
async def _(probe: Probe) -> None:
    answer = await probe.http.get(f"{probe.url}/tasks", headers=probe.headers)
    same(answer.headers["content-type"].partition(";")[0], "application/a2a+json")


@requirement("http:error")
async def _(probe: Probe) -> None:
    answer = await probe.http.get(f"{probe.url}/tasks/{UNKNOWN}", headers=probe.headers)
    error = answer.json()["error"]
    same((answer.status_code, error["code"], error["status"]), (404, 404, "NOT_FOUND"))
    same([d["reason"] for d in error["details"] if "reason" in d], ["TASK_NOT_FOUND"])


@requirement("http:tenant")
async def _(probe: Probe) -> None:
    task = await probe.send("hello")
    answer = await probe.http.get(f"{probe.url}/any/tasks/{task['id']}", headers=probe.headers)
    same(answer.status_code, 200)
