"""The embedded servers: who owns them, what they survive, and what they say when they cannot run."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
import redis

from agenthub_server.embedded import (
    EmbeddedError,
    Postgres,
    binaries,
    embedded,
    postgres_binaries,
)
from testkit.owners import OWNER, copy_tree, owner, processes, running, server_pids, sql
from testkit.processes import process
from testkit.servers import suite_environment
from testkit.waiting import eventually


@pytest.fixture(scope="module")
def made(scratch: Path) -> Path:
    """A folder whose cluster is made already, to save each test the `initdb`."""
    root = scratch / "made"
    with embedded(root, durable=False, valkey=False, environ=suite_environment()):
        return root


@pytest.fixture
def root(made: Path, folder: Path) -> Path:
    """A copy of it."""
    return copy_tree(made, folder / ".agenthub")


async def test_an_owner_killed_leaves_no_orphan_and_its_data_survives(root: Path) -> None:
    async with owner(root) as (holder, servers):
        await sql(servers.database_url, "create table kept as select 42 as answer")
        redis.Redis.from_url(servers.redis_url or "").set("kept", "yes")
        pids = server_pids(root)
        holder.kill()
        await eventually(lambda: not running(pids))
    with embedded(root, durable=False, environ=suite_environment()) as again:
        assert again.owned
        assert await sql(again.database_url, "select answer from kept") == 42


async def test_a_second_start_attaches_and_leaves_the_servers_alone_when_it_ends(
    root: Path,
) -> None:
    async with owner(root) as (holder, servers):
        with embedded(root, environ=suite_environment()) as second:
            assert not second.owned
            assert (second.database_url, second.redis_url) == (
                servers.database_url,
                servers.redis_url,
            )
            assert second.notes == [f"Attached to the servers of process {holder.pid}."]
        assert await sql(servers.database_url, "select 1") == 1


async def test_the_next_start_takes_over_at_once_from_a_killed_owner(root: Path) -> None:
    async with owner(root) as (holder, _):
        old = server_pids(root)
        holder.kill()
        await holder.wait()
        with embedded(root, durable=False, environ=suite_environment()) as servers:
            assert servers.owned
            assert await sql(servers.database_url, "select 1") == 1
            assert not set(old) & set(server_pids(root))


async def test_servers_whose_owner_and_watchdog_are_both_dead_are_ended_first(root: Path) -> None:
    async with owner(root) as (holder, _):
        orphans = server_pids(root)
        holder.signal(signal.SIGSTOP)
        for pid, parent in processes().items():
            if parent == holder.pid and pid not in orphans:
                os.kill(pid, signal.SIGKILL)
        holder.kill()
        # until it is gone it owns them, and whoever comes attaches
        await holder.wait()
        assert running(orphans) == set(orphans)
        with embedded(root, durable=False, environ=suite_environment()) as servers:
            assert await sql(servers.database_url, "select 1") == 1
            await eventually(lambda: not running(orphans))


async def test_a_ctrl_c_reaches_the_owner_and_not_the_servers(root: Path) -> None:
    async with owner(root) as (holder, _):
        groups = {os.getpgid(pid) for pid in server_pids(root)}
        assert os.getpgid(holder.pid) not in groups
        pids = server_pids(root)
        os.killpg(holder.pid, signal.SIGINT)
        await holder.wait()
        assert not running(pids)
        assert not (root / "servers.json").exists()


async def test_a_server_that_dies_is_started_again(root: Path) -> None:
    with embedded(root, environ=suite_environment()) as servers:
        await sql(servers.database_url, "create table kept as select 42 as answer")
        before = server_pids(root)
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        async def back() -> bool:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return await sql(servers.database_url, "select answer from kept") == 42
            return False

        await eventually(back)
        await eventually(lambda: not set(before) & set(server_pids(root)))


async def test_commits_survive_a_killed_server(root: Path) -> None:
    server = Postgres(root / "postgres", environ=suite_environment())
    server.start()
    await sql(server.url(), "create table kept as select 42 as answer")
    busy = [await asyncpg.connect(server.url()) for _ in range(10)]
    server.kill()
    server.start()
    assert await sql(server.url(), "select answer from kept") == 42
    for connection in busy:
        connection.terminate()
    server.stop("immediate")
    server.start()
    assert await sql(server.url(), "select answer from kept") == 42
    server.stop()


async def interrupted(root: Path) -> bool:
    """Kill an owner during its `initdb`; while this process stands still, that may have ended."""
    home = root / "postgres"
    async with process([sys.executable, "-c", OWNER, root]) as holder:
        await eventually(lambda: list(home.glob("data.*/base")) or (home / "data").exists())
        holder.kill()
        await holder.wait()
    return not (home / "data").exists()


async def test_an_interrupted_initdb_is_made_again(folder: Path) -> None:
    tries = iter(range(5))
    while not await interrupted(root := folder / str(next(tries))):
        pass
    home = root / "postgres"
    assert list(home.glob("data.*"))
    server = Postgres(home, environ=suite_environment())
    server.start()
    assert await sql(server.url(), "select current_database()") == "agenthub"
    server.stop()
    assert not list(home.glob("data.*"))


async def test_a_deep_folder_gets_short_sockets(made: Path, folder: Path) -> None:
    root = folder / ("deep" * 20) / "a, b" / ".agenthub"
    copy_tree(made, root)
    async with owner(root) as (holder, servers):
        sockets = (root / "postgres" / "sockets").readlink()
        assert await sql(servers.database_url, "select 1") == 1
        assert redis.Redis.from_url(servers.redis_url or "").ping()
        with embedded(root, environ=suite_environment()) as second:
            assert second.database_url == servers.database_url
        holder.kill()
        await holder.wait()
        with embedded(root, durable=False, environ=suite_environment()) as again:
            # The folder of the killed owner is found again and not left behind.
            assert again.database_url == servers.database_url
    assert not sockets.exists()


async def test_a_path_with_odd_characters_stays_a_valid_address(made: Path, folder: Path) -> None:
    root = folder / "a b%20&c=d?#é" / ".agenthub"
    copy_tree(made, root)
    with embedded(root, durable=False, environ=suite_environment()) as servers:
        assert await sql(servers.database_url, "select 1") == 1
        assert redis.Redis.from_url(servers.redis_url or "").ping()


async def test_without_valkey_it_says_how_wake_ups_travel(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"AGENTHUB_PG_BIN": str(postgres_binaries(suite_environment())), "PATH": "/nowhere"}
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    with embedded(root, durable=False, environ=environ) as servers:
        assert servers.redis_url is None
        assert "Valkey is not installed: wake-ups go through Postgres." in servers.notes


async def test_a_valkey_that_cannot_run_does_not_keep_the_hub_from_starting(root: Path) -> None:
    environ = {**suite_environment(), "AGENTHUB_REDIS_BIN": "/bin/false"}
    with embedded(root, durable=False, environ=environ) as servers:
        assert servers.redis_url is None
        assert any("Valkey did not start" in note for note in servers.notes)


def test_data_of_another_major_version_is_refused_with_a_way_out(root: Path) -> None:
    (root / "postgres" / "data" / "PG_VERSION").write_text("14\n")
    server = Postgres(root / "postgres", environ=suite_environment())
    with pytest.raises(EmbeddedError, match=r"made by Postgres 14.*AGENTHUB_PG_BIN.*remove"):
        server.start()
