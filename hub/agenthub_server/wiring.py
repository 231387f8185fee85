"""Wiring: a `Config` becomes a running server or worker. Read it as the deployment diagram.

Both processes share the database and the wake-ups; a server adds the service and its surfaces, a
worker adds the engine. Nothing else in the code base knows which class implements what.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from agenthub.assistants import Assistants
from agenthub.background import Loop, in_background
from agenthub.catalogue import Agents
from agenthub.clock import SystemClock
from agenthub.config import Config
from agenthub.deadlines import Deadlines
from agenthub.errors import Invalid
from agenthub.ports import CATALOGUE_TOPIC, Doorbell, Tail
from agenthub.principal import DEFAULT_TENANT
from agenthub.project import Http, Project
from agenthub.scheduler import Crons, Scheduler
from agenthub.service import Hub
from agenthub.states import States
from agenthub.stream import Streams
from agenthub.worker import Worker
from agenthub_langgraph.decode import StateDecoder
from agenthub_postgres.archive import PostgresArchive
from agenthub_postgres.assistants import PostgresAssistants
from agenthub_postgres.catalogue import PostgresCatalogue
from agenthub_postgres.checkpoints import PostgresCheckpoints
from agenthub_postgres.crons import PostgresCrons
from agenthub_postgres.database import Database, open_database
from agenthub_postgres.deadlines import PostgresDeadlines
from agenthub_postgres.events import PostgresEventLog
from agenthub_postgres.items import PostgresItems, ensure_index
from agenthub_postgres.mcp_sessions import PostgresSessions
from agenthub_postgres.migrate import check_schema
from agenthub_postgres.notifier import Notifier
from agenthub_postgres.push_configs import PostgresPushConfigs
from agenthub_postgres.queue import PostgresQueue
from agenthub_postgres.runs import PostgresRuns
from agenthub_postgres.threads import PostgresThreads
from agenthub_postgres.writer import GroupWriter
from agenthub_redis import open_redis

if TYPE_CHECKING:
    from agenthub_langgraph.discovery import Discovered


@dataclass(frozen=True, slots=True)
class Wakeups:
    """How processes wake each other, and the loops that this needs."""

    doorbell: Doorbell
    tail: Tail
    loops: Sequence[Loop]


@asynccontextmanager
async def open_wakeups(config: Config) -> AsyncGenerator[Wakeups]:
    """Redis when there is one, otherwise Postgres' own notifications."""
    if config.redis_url is None:
        assert config.database_url is not None
        notifier = Notifier(config.database_url, refresh_seconds=5.0)
        yield Wakeups(notifier, notifier, [notifier.run])
        # what the last moments queued, since the loop has ended
        await notifier.flush()
        return
    async with open_redis(config.redis_url) as (doorbell, tail, loops):
        yield Wakeups(doorbell, tail, loops)


async def require_database(config: Config) -> str:
    """The database's address, once its schema is known to fit.

    Raises:
        Invalid: no database is configured.
        Unavailable: its schema is wrong.
    """
    if config.database_url is None:
        raise Invalid(
            "DATABASE_URL is not set; `agenthub dev` is what starts a database of its own"
        )
    await check_schema(config.database_url)
    return config.database_url


@asynccontextmanager
async def open_hub(config: Config, project: Project | None = None) -> AsyncGenerator[Hub]:
    """The service of a server process, with its background loops running. Of a project it takes what is
    said about servers: its long-term memory, its threads' time to live, its webhooks."""
    # a worker has no protocols installed
    from agenthub_rest.crons import freshened
    from agenthub_server.memory import memory_of
    from agenthub_server.outgoing import open_outgoing

    http = Http() if project is None else project.http
    thread_ttl = None if project is None else project.thread_ttl
    dsn = await require_database(config)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_database(dsn, least=2, most=10))
        wakeups = await stack.enter_async_context(open_wakeups(config))
        agents = Agents(PostgresCatalogue(db), wakeups.tail, tenant=DEFAULT_TENANT)
        assistants = Assistants(PostgresAssistants(db), agents, wakeups.tail, tenant=DEFAULT_TENANT)
        # for what several requests share; entered when nothing can fail any more that a person should read as
        # it is, because a group wraps what passes through it
        group = asyncio.TaskGroup()
        runs = PostgresRuns(db, thread_ttl, group)
        deliveries, dispatcher = await open_outgoing(
            config, db, wakeups.doorbell, runs, agents, http.webhooks
        )
        crons = Crons(
            store=PostgresCrons(db, thread_ttl=thread_ttl),
            doorbell=wakeups.doorbell,
            freshen=freshened(assistants, deliveries),
        )
        assistants.dependents.append(crons)
        hub = Hub(
            agents=agents,
            runs=runs,
            threads=PostgresThreads(db, thread_ttl, group),
            states=States(PostgresCheckpoints(db), StateDecoder()),
            streams=Streams(
                PostgresEventLog(db), wakeups.tail, poll_seconds=config.stream_poll_seconds
            ),
            doorbell=wakeups.doorbell,
            assistants=assistants,
            archive=PostgresArchive(db),
            items=PostgresItems(db),
            crons=crons,
            deliveries=deliveries,
            pushes=PostgresPushConfigs(db),
            sessions=PostgresSessions(db),
            memory=await memory_of(project, dsn),
        )
        scheduler = Scheduler(
            store=crons.store,
            doorbell=wakeups.doorbell,
            tenant=DEFAULT_TENANT,
            poll_seconds=config.cron_poll_seconds,
            freshen=crons.freshen,
        )
        deadlines = Deadlines(
            hub=hub,
            store=PostgresDeadlines(db),
            clock=SystemClock(),
            tenant=DEFAULT_TENANT,
            poll_seconds=config.cron_poll_seconds,
        )
        fires = [scheduler.run, deadlines.run] if config.cron_poll_seconds else []
        await agents.refresh()
        await assistants.prepare()
        await stack.enter_async_context(group)
        await stack.enter_async_context(
            in_background(*wakeups.loops, agents.run, assistants.run, *fires)
        )
        if config.delivery_poll_seconds:
            await stack.enter_async_context(dispatcher.running())
        yield hub


@asynccontextmanager
async def open_worker(config: Config, found: Discovered) -> AsyncGenerator[Worker]:
    """A worker for one environment's agents, published and ready to `run`."""
    from agenthub_langgraph import remotes
    from agenthub_langgraph.engine import LangGraphEngine
    from agenthub_langgraph.store import HubStore

    dsn = await require_database(config)
    if found.index is not None:
        await ensure_index(dsn, found.index.get("dims", 0))
    await remotes.ask(found, config.environment)
    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(open_database(dsn, least=2, most=8))
        # renewals never queue behind anything: a connection of their own
        reserved = await stack.enter_async_context(open_database(dsn, least=1, most=1))
        wakeups = await stack.enter_async_context(open_wakeups(config))
        writer = GroupWriter(db, wakeups.tail)
        worker_id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        engine = LangGraphEngine(
            found.graphs,
            checkpoints=PostgresCheckpoints(db),
            writer=writer,
            store=HubStore(PostgresItems(db), DEFAULT_TENANT, index=found.index, ttl=found.ttl),
            most_emitted_bytes=config.max_body_bytes,
        )
        worker = Worker(
            worker_id=worker_id,
            agents=list(found.graphs),
            engine=engine,
            queue=PostgresQueue(db, DEFAULT_TENANT),
            renewals=PostgresQueue(reserved, DEFAULT_TENANT),
            writer=writer,
            doorbell=wakeups.doorbell,
            clock=SystemClock(),
            config=config,
        )
        await stack.enter_async_context(in_background(*wakeups.loops, writer.run))
        await publish(db, wakeups.tail, worker_id, config.environment, found)

        async def admit() -> None:
            for name, graph in found.graphs.items():
                engine.admit(name, graph)
            worker.admit(found.graphs)
            await publish(db, wakeups.tail, worker_id, config.environment, found)

        asking = partial(remotes.keep_asking, found, config.environment, admit)
        await stack.enter_async_context(in_background(asking))
        yield worker


async def publish(
    db: Database, tail: Tail, worker_id: str, environment: str, found: Discovered
) -> None:
    """Tell every server what this environment offers."""
    await PostgresCatalogue(db).publish(
        DEFAULT_TENANT,
        worker_id=worker_id,
        environment=environment,
        agents=found.infos,
        failures=found.failures,
    )
    tail.announce(CATALOGUE_TOPIC)
