"""The workloads W1 to W7 (performance.md): each drives one server and returns one number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any, Literal

from bench.agents import EVENTS
from bench.client import Connection

Drive = Callable[[int], Awaitable[float]]
Better = Literal["less", "more"]


@dataclass(frozen=True, slots=True)
class Workload:
    """A measurement. `budget` is the hub's ratio to the floor; `floor` is what the floor does for it, if that
    is not the same. A round measures each once, one right after the other."""

    name: str
    unit: str
    better: Better
    drive: Drive
    budget: float
    floor: Drive | None = None
    rounds: int = 7


def stateless(agent: str, value: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "/runs/wait", {"assistant_id": agent, "input": value, **fields}


async def on_thread(connection: Connection, agent: str, value: Any, **fields: Any) -> None:
    thread = await connection.post("/threads", {})
    path = f"/threads/{thread['thread_id']}/runs/wait"
    await connection.post(path, {"assistant_id": agent, "input": value, **fields})


def latency(call: Callable[[Connection], Awaitable[Any]], times: int = 25) -> Drive:
    """Median milliseconds of a call, from one client."""

    async def drive(port: int) -> float:
        connection = Connection(port)
        took: list[float] = []
        for i in range(times + 5):
            started = perf_counter()
            await call(connection)
            if i >= 5:
                took.append(perf_counter() - started)
        await connection.close()
        return median(took) * 1000

    return drive


def rate(call: Callable[[Connection], Awaitable[Any]], clients: int, times: int) -> Drive:
    """Calls per second of many clients."""

    async def drive(port: int) -> float:
        connections = [Connection(port) for _ in range(clients)]

        async def one(connection: Connection, n: int) -> None:
            for _ in range(n):
                await call(connection)

        await asyncio.gather(*(one(c, 1) for c in connections))
        started = perf_counter()
        await asyncio.gather(*(one(c, times) for c in connections))
        took = perf_counter() - started
        await asyncio.gather(*(c.close() for c in connections))
        return clients * times / took

    return drive


def first_event(agent: str, mode: str, clients: int = 1, times: int = 15) -> Drive:
    """Median milliseconds to the first event of a stream."""

    async def drive(port: int) -> float:
        found: list[float] = []

        async def one() -> None:
            connection = Connection(port)
            for i in range(times + 1):
                first, _ = await connection.stream(*_streaming(agent, mode))
                if i:
                    found.append(first)
            await connection.close()

        await asyncio.gather(*(one() for _ in range(clients)))
        return median(found) * 1000

    return drive


def events_per_second(agent: str, mode: str, clients: int, times: int) -> Drive:
    """Events per second over many streams, each complete."""

    async def drive(port: int) -> float:
        connections = [Connection(port) for _ in range(clients)]

        async def one(connection: Connection, n: int) -> int:
            total = 0
            for _ in range(n):
                _, events = await connection.stream(*_streaming(agent, mode))
                assert events >= EVENTS, events
                total += EVENTS
            return total

        await asyncio.gather(*(one(c, 1) for c in connections))
        started = perf_counter()
        total = sum(await asyncio.gather(*(one(c, times) for c in connections)))
        took = perf_counter() - started
        await asyncio.gather(*(c.close() for c in connections))
        return total / took

    return drive


def _streaming(agent: str, mode: str) -> tuple[str, dict[str, Any]]:
    return "/runs/stream", {"assistant_id": agent, "input": {"x": 1}, "stream_mode": [mode]}


async def enqueue(port: int) -> float:
    """Background runs accepted per second."""
    connections = [Connection(port) for _ in range(16)]

    async def one(connection: Connection) -> None:
        for _ in range(500 // 16):
            await connection.post("/runs", {"assistant_id": "w_one", "input": {"x": 1}})

    await asyncio.gather(*(one(c) for c in connections))
    started = perf_counter()
    await asyncio.gather(*(one(c) for c in connections))
    took = perf_counter() - started
    await _idle(connections[0])
    await asyncio.gather(*(c.close() for c in connections))
    return 500 / took


async def finished(port: int) -> float:
    """Background runs finished per second, from the first that is accepted on."""
    connections = [Connection(port) for _ in range(16)]

    async def one(connection: Connection) -> None:
        for _ in range(500 // 16):
            await connection.post("/runs", {"assistant_id": "w_one", "input": {"x": 1}})

    started = perf_counter()
    await asyncio.gather(*(one(c) for c in connections))
    await _idle(connections[0])
    took = perf_counter() - started
    await asyncio.gather(*(c.close() for c in connections))
    return 500 / took


async def _idle(connection: Connection) -> None:
    """Wait for what was accepted: the next workload must not meet it. The hub's line is in order of arrival,
    so one more run is its end; the floor has no line, and says how many are left."""
    await connection.post(*stateless("w_one", {"x": 1}))
    while isinstance(left := await connection.get("/ok"), int) and left:
        pass


async def asleep(port: int) -> float:
    """Seconds until 500 runs that sleep for 5 s each are done."""
    connections = [Connection(port) for _ in range(500)]
    started = perf_counter()
    await asyncio.gather(*(c.post(*stateless("w_sleep", {"x": 1})) for c in connections))
    took = perf_counter() - started
    await asyncio.gather(*(c.close() for c in connections))
    return took


def another_turn(messages: int) -> Drive:
    """Median milliseconds of one more turn on a thread of so many messages."""

    async def drive(port: int) -> float:
        connection = Connection(port)
        thread = await connection.post("/threads", {})
        path = f"/threads/{thread['thread_id']}/runs/wait"
        history = [{"role": "user", "content": "hello there"} for _ in range(messages)]
        await connection.post(path, {"assistant_id": "w_turn", "input": {"messages": history}})
        took: list[float] = []
        for _ in range(10):
            started = perf_counter()
            await connection.post(
                path,
                {
                    "assistant_id": "w_turn",
                    "input": {"messages": [{"role": "user", "content": "and?"}]},
                },
            )
            took.append(perf_counter() - started)
        await connection.close()
        return median(took) * 1000

    return drive


def _ten(durability: str) -> Callable[[Connection], Awaitable[None]]:
    return lambda c: on_thread(c, "w_ten", {"log": []}, durability=durability)


def _one(connection: Connection) -> Awaitable[Any]:
    return connection.post(*stateless("w_one", {"x": 1}))


def _one_on_thread(connection: Connection) -> Awaitable[None]:
    return on_thread(connection, "w_one", {"x": 1})


_W2 = latency(_one_on_thread)
_W2_64 = rate(_one_on_thread, 64, 8)

WORKLOADS = (
    Workload("W2 thread + run, 1 client", "ms", "less", _W2, 1.5),
    Workload("W2 thread + run, 64 clients", "runs/s", "more", _W2_64, 2.0),
    # the floor stores nothing of a stateless run: what it is compared with is a run that it stores
    Workload("W1 stateless (floor: W2), 1 client", "ms", "less", latency(_one), 1.2, _W2),
    Workload(
        "W1 stateless (floor: W2), 64 clients", "runs/s", "more", rate(_one, 64, 8), 2.0, _W2_64
    ),
    Workload(
        "W3 first of 200 events, 1 client", "ms", "less", first_event("w_stream", "custom"), 2.5
    ),
    Workload(
        "W3 200 events, 64 streams",
        "events/s",
        "more",
        events_per_second("w_stream", "custom", 64, 2),
        1.0,
        rounds=5,
    ),
    Workload(
        "W3m 200 chunks, 16 streams",
        "events/s",
        "more",
        events_per_second("w_chunks", "messages-tuple", 16, 2),
        1.0,
        rounds=5,
    ),
    Workload(
        "W3p first event, 64 paced streams",
        "ms",
        "less",
        first_event("w_paced", "custom", 64, 1),
        1.5,
    ),
    Workload("W4 ten steps sync, 16 clients", "runs/s", "more", rate(_ten("sync"), 16, 4), 2.0),
    Workload("W4 ten steps async, 1 client", "ms", "less", latency(_ten("async")), 0.7),
    Workload("W4 ten steps async, 16 clients", "runs/s", "more", rate(_ten("async"), 16, 4), 3.0),
    Workload("W4 ten steps exit, 1 client", "ms", "less", latency(_ten("exit")), 1.5),
    Workload("W5 background runs accepted", "runs/s", "more", enqueue, 0.5, rounds=5),
    Workload("W5 background runs finished", "runs/s", "more", finished, 2.0, rounds=5),
    Workload("W6 500 runs asleep for 5 s", "s", "less", asleep, 1.1, rounds=3),
    Workload("W7 one more turn, 1 message", "ms", "less", another_turn(1), 1.0),
    Workload("W7 one more turn, 100 messages", "ms", "less", another_turn(100), 1.0),
    Workload("W7 one more turn, 1000 messages", "ms", "less", another_turn(1000), 0.7),
)
