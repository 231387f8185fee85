"""What a server sends by itself: the deliveries, their policy, and the dispatcher that makes them."""

from __future__ import annotations

import os
from typing import get_args

from agenthub.catalogue import Agents
from agenthub.clock import SystemClock
from agenthub.config import Config
from agenthub.declared import Webhooks
from agenthub.deliveries import Deliveries
from agenthub.dispatcher import Dispatcher
from agenthub.outbound import Outbound, networks
from agenthub.ports import Doorbell, RunStore
from agenthub.principal import DEFAULT_TENANT
from agenthub.pushes import TaskNews
from agenthub.signing import Signer, read_secret
from agenthub_a2a.letters import TaskLetters
from agenthub_postgres.database import Database
from agenthub_postgres.events import PostgresEventLog
from agenthub_postgres.outbox import PostgresOutbox
from agenthub_postgres.push_configs import PostgresPushConfigs
from agenthub_postgres.secrets import shared_secret
from agenthub_rest.webhooks import RunLetters

SECRET = "webhook_secret"  # noqa: S105  # its name


async def open_outgoing(
    config: Config,
    db: Database,
    doorbell: Doorbell,
    runs: RunStore,
    agents: Agents,
    webhooks: Webhooks,
) -> tuple[Deliveries, Dispatcher]:
    """The deliveries of a server, and what makes them while it is `running()`.

    Raises:
        Invalid: a network, a secret or a header in the configuration cannot be read.
    """
    outbound = Outbound(
        networks=networks(config.outbound_networks),
        timeout_seconds=config.delivery_timeout_seconds,
    )
    deliveries = Deliveries(
        outbox=PostgresOutbox(db), doorbell=doorbell, outbound=outbound, allowed=webhooks
    )
    pushes = TaskLetters(
        runs=runs, log=PostgresEventLog(db), agents=agents, pushes=PostgresPushConfigs(db)
    )
    letters = RunLetters(runs, webhooks.sent(os.environ))
    dispatcher = Dispatcher(
        outbox=deliveries.outbox,
        sender=outbound,
        signer=Signer(await signing_secrets(config, db.dsn)),
        letters={
            "run": letters,
            **dict.fromkeys(get_args(TaskNews), pushes),
        },
        doorbell=doorbell,
        clock=SystemClock(),
        tenant=DEFAULT_TENANT,
        poll_seconds=config.delivery_poll_seconds,
    )
    return deliveries, dispatcher


async def signing_secrets(config: Config, dsn: str) -> list[bytes]:
    """The configured secrets, or the installation's own.

    Raises:
        Invalid: a configured one cannot be read.
    """
    if config.webhook_secrets:
        return [read_secret(text) for text in config.webhook_secrets]
    return [await shared_secret(dsn, SECRET)]
