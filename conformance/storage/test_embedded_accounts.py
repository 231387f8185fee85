"""The embedded servers as root, without its privileges, and as an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from agenthub_server.embedded import (
    EmbeddedError,
    Postgres,
    embedded,
    postgres_binaries,
    valkey_binary,
)
from testkit.owners import OWNER, sql
from testkit.processes import process
from testkit.servers import suite_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root switches accounts")


async def test_root_lends_postgres_an_account_that_can_be_chosen(folder: Path) -> None:
    environ = {**suite_environment(), "AGENTHUB_PG_USER": "nobody"}
    server = Postgres(folder / "postgres", environ=environ)
    server.start()
    assert (server.home / "data").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    server.stop()
    # Whoever starts it next goes on with the account that has the data.
    continued = Postgres(folder / "postgres", environ=suite_environment())
    assert continued.account is not None
    assert continued.account.name == "nobody"


def test_an_account_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(EmbeddedError, match="AGENTHUB_PG_USER is 'no-such-user'"):
        Postgres(folder, environ={**os.environ, "AGENTHUB_PG_USER": "no-such-user"})


async def test_a_private_parent_folder_and_private_binaries_are_left_private(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agenthub_server.embedded.account._ELSEWHERE", folder / "elsewhere")
    private = folder / "private"
    private.mkdir(mode=0o700)
    bindir = copied(postgres_binaries(suite_environment()), private)
    environ = {**os.environ, "AGENTHUB_PG_BIN": str(bindir)}
    with embedded(private / ".agenthub", durable=False, environ=environ) as servers:
        assert await sql(servers.database_url, "select 1") == 1
        assert any("may not enter" in note for note in servers.notes)
        moved = (private / ".agenthub" / "postgres").readlink()
        assert moved.is_relative_to(folder / "elsewhere")
        assert bool(list(moved.glob("binaries-*"))) == bindir.is_relative_to(private)
    assert private.stat().st_mode & 0o777 == 0o700
    with embedded(private / ".agenthub", durable=False, environ=environ):
        assert (private / ".agenthub" / "postgres").readlink() == moved


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs `setpriv` to drop capabilities")
async def test_root_that_may_not_switch_accounts_is_told_what_to_do(folder: Path) -> None:
    dropped = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    argv = [*dropped, sys.executable, "-c", OWNER, folder / ".agenthub"]
    async with process(argv) as holder:
        assert await holder.wait() == 1
        assert "CAP_SETUID" in holder.output()
        assert "Run agenthub as an ordinary user, or set DATABASE_URL." in holder.output()


async def test_it_runs_for_an_ordinary_user(folder: Path) -> None:
    bindir = copied(postgres_binaries(suite_environment()), folder)
    redis_binary = folder / "valkey-server"
    shutil.copy(valkey_binary() or "", redis_binary)
    environ = {"AGENTHUB_PG_BIN": str(bindir), "AGENTHUB_REDIS_BIN": str(redis_binary)}
    home = folder / "home"
    home.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    with (
        ordinary(nobody),
        embedded(home / ".agenthub", durable=False, environ=environ) as servers,
    ):
        assert await sql(servers.database_url, "select 1") == 1
        assert redis.Redis.from_url(servers.redis_url or "").ping()
        assert servers.notes == []
    assert {path.stat().st_uid for path in home.rglob("*")} == {nobody.pw_uid}


@contextmanager
def ordinary(user: pwd.struct_passwd) -> Generator[None]:
    """Be an ordinary user; the saved id stays root, to come back, and no child inherits it."""
    os.setresgid(user.pw_gid, user.pw_gid, 0)
    os.setresuid(user.pw_uid, user.pw_uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def copied(bindir: Path, folder: Path) -> Path:
    """The same binaries in `folder`; a system's own find their other files by absolute paths."""
    if bindir.is_relative_to("/usr"):
        return bindir
    install, package = bindir.parent, bindir.parent.parent
    skip = shutil.ignore_patterns("include", "*.a")
    shutil.copytree(install, folder / package.name / install.name, symlinks=True, ignore=skip)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / install.name / "bin"
