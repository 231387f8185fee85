"""Crons with the official client, every method of it, and what the hub adds."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from protocols.rest_client import http, refused, rest
from testkit.waiting import eventually

UNKNOWN = "0190a5a5-0000-7000-8000-000000000000"
NEVER = "0 0 1 1 *"
EVERY_SECOND = "* * * * * *"


async def new_thread(client: LangGraphClient) -> str:
    return (await client.threads.create())["thread_id"]


async def made(client: LangGraphClient, schedule: str = NEVER, **how: Any) -> Any:
    """A stateless cron of `plus`."""
    return await client.crons.create("plus", schedule=schedule, input={"x": 1}, **how)


async def fetched(raw: httpx.AsyncClient, cron: Any) -> Any:
    """The cron as it stands; the client has no method for it."""
    response = await raw.get(f"/runs/crons/{cron['cron_id']}")
    assert response.status_code == 200, response.text
    return response.json()


async def history(raw: httpx.AsyncClient, cron: Any) -> Any:
    response = await raw.get(f"/runs/crons/{cron['cron_id']}/history", params={"limit": 100})
    assert response.status_code == 200, response.text
    return response.json()


# --- creating -----------------------------------------------------------------------------------


async def test_a_cron_is_created_and_shown_as_the_agent_server_does(hub_url: str) -> None:
    end = datetime(2090, 1, 1, tzinfo=UTC)
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client, metadata={"m": 1}, end_time=end, timezone="Europe/Berlin")
        assistant = await client.assistants.get("plus")
        assert await fetched(raw, cron) == cron
        await client.crons.delete(cron["cron_id"])
    assert cron["assistant_id"] == assistant["assistant_id"]
    assert (cron["thread_id"], cron["on_run_completed"]) == (None, "delete")
    assert (cron["schedule"], cron["timezone"], cron["enabled"]) == (NEVER, "Europe/Berlin", True)
    assert datetime.fromisoformat(cron["end_time"]) == end
    assert cron["metadata"] == {"m": 1}
    assert cron["payload"] == {
        "assistant_id": "plus", "input": {"x": 1}, "metadata": {"m": 1}, "schedule": NEVER,
    }  # fmt: skip
    following = datetime.fromisoformat(cron["next_run_date"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (following.month, following.day, following.hour) == (1, 1, 0)
    assert (cron["misfire"], cron["overlap"], cron["jitter"]) == ("last", "allow", 0)


async def test_every_option_of_a_stateless_cron_is_accepted(hub_url: str) -> None:
    async with rest(hub_url) as client:
        cron: Any = await client.crons.create(
            "plus", schedule=NEVER, input={"x": 1}, metadata={"m": 1}, config={"tags": ["t"]},
            interrupt_before="*", interrupt_after=["plus"], on_run_completed="keep",
            multitask_strategy="reject", end_time=datetime(2090, 1, 1, tzinfo=UTC), enabled=False,
            timezone=ZoneInfo("America/New_York"), stream_mode=["values", "updates"],
            stream_subgraphs=True, stream_resumable=True, durability="sync",
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old: Any = await client.crons.create("plus", schedule=NEVER, checkpoint_during=True)
        for one in (cron, old):
            await client.crons.delete(one["cron_id"])
    assert (cron["enabled"], cron["next_run_date"]) == (False, None)
    assert cron["timezone"] == "America/New_York"
    assert cron["on_run_completed"] == "keep"
    assert cron["payload"]["stream_mode"] == ["values", "updates"]


async def test_a_cron_on_a_thread_is_created_there(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        cron: Any = await client.crons.create_for_thread(
            thread_id, "plus", schedule=NEVER, input={"x": 1}, multitask_strategy="interrupt"
        )
        assert (cron["thread_id"], cron["on_run_completed"]) == (thread_id, None)
        await client.threads.delete(thread_id)
        assert await client.crons.search(thread_id=thread_id) == []


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"schedule": "nonsense"}, "give five fields"),
        ({"schedule": "0 0 30 2 *"}, "cannot be read"),
        ({"timezone": "Mars/Olympus"}, "give an IANA name"),
        ({"end_time": datetime(2020, 1, 1, tzinfo=UTC)}, "is in the past"),
        ({"context": {"a": 1}, "config": {"configurable": {"b": 2}}}, "not both"),
    ],
)
async def test_a_cron_that_cannot_work_is_refused(
    hub_url: str, how: dict[str, Any], sentence: str
) -> None:
    async with rest(hub_url) as client:
        with refused(422, sentence):
            await client.crons.create("plus", **{"schedule": NEVER, **how})
        with refused(404):
            await client.crons.create("nobody", schedule=NEVER)
        with refused(404, "no thread"):
            await client.crons.create_for_thread(UNKNOWN, "plus", schedule=NEVER)


@pytest.mark.parametrize(
    "body",
    [
        {"jitter": -1}, {"jitter": 1e9}, {"misfire": "some"}, {"overlap": "maybe"}, {"end_time": "soon"},
        {"schedule": 5}, {"multitask_strategy": "fork"}, {"command": {"resume": 1}}, {"timezone": "a\0b"},
        {"end_time": "0001-01-01T00:00:00+14:00"}, {"end_time": "9999-12-31T23:59:59-14:00"},
    ],
)  # fmt: skip
async def test_a_body_that_is_no_cron_is_refused(hub_url: str, body: dict[str, Any]) -> None:
    async with http(hub_url) as raw:
        whole = {"assistant_id": "plus", "schedule": NEVER, **body}
        response = await raw.post("/runs/crons", json=whole)
    assert response.status_code == 422, response.text
    assert response.json()["code"] == "invalid"


# --- firing -------------------------------------------------------------------------------------


async def test_a_cron_fires_every_second_until_it_is_deleted(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client, EVERY_SECOND, on_run_completed="keep", metadata={"m": 1})

        async def fired() -> Any:
            found = [entry for entry in await history(raw, cron) if entry["outcome"] == "fired"]
            return found if len(found) >= 2 else None

        entries = await eventually(fired)
        await client.crons.delete(cron["cron_id"])
        values = await client.runs.join(entries[0]["thread_id"], entries[0]["run_id"])
        run: Any = await client.runs.get(entries[0]["thread_id"], entries[0]["run_id"])
        gone = await raw.get(f"/runs/crons/{cron['cron_id']}/history")
    assert values == {"x": 2}
    assert run["metadata"] == {"m": 1, "cron_id": cron["cron_id"]}
    slots = [datetime.fromisoformat(entry["slot"]) for entry in entries]
    assert len(set(slots)) == len(slots)
    assert all(slot.microsecond == 0 for slot in slots)
    assert entries[0]["thread_id"] != entries[1]["thread_id"]
    assert gone.status_code == 404


async def test_a_cron_on_a_thread_adds_to_its_state(hub_url: str) -> None:
    async with rest(hub_url) as client:
        thread_id = await new_thread(client)
        cron: Any = await client.crons.create_for_thread(
            thread_id, "two_steps", schedule=EVERY_SECOND, input={"log": []}
        )

        async def twice() -> bool:
            state: Any = await client.threads.get_state(thread_id)
            return len(state["values"].get("log", [])) >= 4

        await eventually(twice)
        await client.crons.delete(cron["cron_id"])
        runs = await client.runs.list(thread_id)
    assert {run["metadata"]["cron_id"] for run in runs} == {cron["cron_id"]}


async def test_a_cron_may_be_run_now(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client, on_run_completed="keep", enabled=False)
        response = await raw.post(f"/runs/crons/{cron['cron_id']}/run")
        assert response.status_code == 200, response.text
        run = response.json()
        assert response.headers["content-location"].endswith(run["run_id"])
        assert await client.runs.join(run["thread_id"], run["run_id"]) == {"x": 2}
        (entry,) = await history(raw, cron)
        assert (entry["trigger"], entry["run_id"]) == ("request", run["run_id"])
        await client.crons.delete(cron["cron_id"])
        assert (await raw.post(f"/runs/crons/{cron['cron_id']}/run")).status_code == 404


async def test_a_firing_uses_its_assistant_as_it_is_then(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        assistant = await client.assistants.create("plus", metadata={"team": "red"})
        name = assistant["assistant_id"]
        cron: Any = await client.crons.create(name, schedule=NEVER, input={"x": 1})
        assert cron["assistant_id"] == name
        await client.assistants.update(name, metadata={"team": "blue"})
        run = (await raw.post(f"/runs/crons/{cron['cron_id']}/run")).json()
        assert (run["assistant_id"], run["metadata"]["team"]) == (name, "blue")
        await client.runs.join(run["thread_id"], run["run_id"])
        await client.assistants.delete(name)
        assert (await raw.get(f"/runs/crons/{cron['cron_id']}")).status_code == 404


# --- changing -----------------------------------------------------------------------------------


async def test_an_update_changes_what_it_names_and_nothing_else(hub_url: str) -> None:
    end = datetime(2090, 1, 1, tzinfo=UTC)
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client, metadata={"m": 1}, end_time=end, stream_mode="updates")
        id_ = cron["cron_id"]
        changed: Any = await client.crons.update(
            id_, schedule="30 9 * * *", timezone="Europe/Berlin", metadata={"n": 2}, input={"x": 5}
        )
        assert (changed["schedule"], changed["timezone"]) == ("30 9 * * *", "Europe/Berlin")
        assert changed["metadata"] == {"m": 1, "n": 2}
        assert changed["end_time"] == cron["end_time"]
        assert changed["payload"]["input"] == {"x": 5}
        assert changed["payload"]["stream_mode"] == ["updates"]
        assert changed["next_run_date"] != cron["next_run_date"]
        run = (await raw.post(f"/runs/crons/{id_}/run")).json()
        assert await client.runs.join(run["thread_id"], run["run_id"]) == {"x": 6}
        await client.crons.delete(id_)


async def test_an_update_with_a_null_end_takes_the_end_away(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client, end_time=datetime(2090, 1, 1, tzinfo=UTC))
        id_ = cron["cron_id"]
        same: Any = await client.crons.update(id_, input={"x": 2})
        assert same["end_time"] == cron["end_time"]
        cleared: Any = await client.crons.update(id_, end_time=None)
        assert cleared["end_time"] is None
        assert (await fetched(raw, cron))["end_time"] is None
        await client.crons.delete(id_)


async def test_a_cron_is_switched_off_and_on(hub_url: str) -> None:
    async with rest(hub_url) as client:
        cron = await made(client)
        off: Any = await client.crons.update(cron["cron_id"], enabled=False)
        assert (off["enabled"], off["next_run_date"]) == (False, None)
        on: Any = await client.crons.update(cron["cron_id"], enabled=True)
        assert (on["enabled"], on["next_run_date"]) == (True, cron["next_run_date"])
        await client.crons.delete(cron["cron_id"])


async def test_our_policies_are_changed_over_http(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        cron = await made(client)
        path = f"/runs/crons/{cron['cron_id']}"
        body = {"misfire": "all", "overlap": "queue", "jitter": 2.5}
        changed = (await raw.patch(path, json=body)).json()
        assert {name: changed[name] for name in body} == body
        due = datetime.fromisoformat(changed["next_run_date"])
        assert due - datetime.now(UTC) > timedelta(0)
        for wrong in ({"misfire": "x"}, {"schedule": "x"}, {"timezone": "x"}, {"stream_mode": "x"}):
            response = await raw.patch(path, json=wrong)
            assert response.status_code == 422, response.text
        assert await fetched(raw, cron) == changed
        await client.crons.delete(cron["cron_id"])


async def test_an_unknown_cron_is_not_found_by_any_method(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        with refused(404, "no cron"):
            await client.crons.delete(UNKNOWN)
        with refused(404, "no cron"):
            await client.crons.update(UNKNOWN, enabled=False)
        for path in ("", "/history"):
            assert (await raw.get(f"/runs/crons/{UNKNOWN}{path}")).status_code == 404
        assert (await raw.post(f"/runs/crons/{UNKNOWN}/run")).status_code == 404
        assert (await raw.get("/runs/crons/nonsense")).status_code == 422


# --- finding ------------------------------------------------------------------------------------


async def test_crons_are_searched_counted_sorted_and_selected(hub_url: str) -> None:
    async with rest(hub_url) as client, http(hub_url) as raw:
        thread_id = await new_thread(client)
        here: Any = {"test": "search"}
        one = await made(client, metadata=here, end_time=datetime(2090, 1, 1, tzinfo=UTC))
        two = await made(client, "0 0 2 1 *", metadata=here, enabled=False)
        three: Any = await client.crons.create_for_thread(
            thread_id, "two_steps", schedule="0 0 3 1 *", metadata=here
        )

        async def ids(**query: Any) -> list[str]:
            found = await client.crons.search(metadata=here, **query)
            return [cron["cron_id"] for cron in found]

        newest_first = [cron["cron_id"] for cron in (three, two, one)]
        assert await ids() == newest_first
        assert await ids(limit=1, offset=1) == [two["cron_id"]]
        assert await ids(sort_by="next_run_date", sort_order="asc") == [
            one["cron_id"], three["cron_id"], two["cron_id"],
        ]  # fmt: skip
        assert await ids(enabled=False) == [two["cron_id"]]
        assert await ids(thread_id=thread_id) == [three["cron_id"]]
        assert await ids(assistant_id="two_steps") == [three["cron_id"]]
        assert await client.crons.count(metadata=here) == 3
        assert await client.crons.count(metadata=here, thread_id=thread_id) == 1
        assert await client.crons.count(metadata=here, assistant_id=one["assistant_id"]) == 2
        selected = await client.crons.search(metadata=here, select=["cron_id", "schedule"], limit=1)
        assert selected == [{"cron_id": three["cron_id"], "schedule": "0 0 3 1 *"}]
        page = await raw.post("/runs/crons/search", json={"metadata": here, "limit": 2})
        assert page.headers["x-pagination-total"] == "3"
        assert page.headers["x-pagination-next"] == "2"
        for id_ in newest_first:
            await client.crons.delete(id_)


async def test_the_server_says_that_it_has_crons(hub_url: str) -> None:
    async with http(hub_url) as raw:
        assert (await raw.get("/info")).json()["flags"]["crons"] is True
