"""The shape of the repository: short files, groups that are no packages, a wheel of packages only."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = ("hub", "protocols", "adapters", "storage", "conformance")
LONGEST = 600
MEDIAN = 150


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages() -> list[str]:
    return project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def lengths() -> dict[Path, int]:
    files = [file for group in GROUPS for file in (ROOT / group).rglob("*.py")]
    return {
        file.relative_to(ROOT): len(file.read_text(encoding="utf-8").splitlines())
        for file in files
        if "node_modules" not in file.parts
    }


def test_no_file_is_too_long() -> None:
    assert [f"{file}: {lines}" for file, lines in lengths().items() if lines > LONGEST] == []


def test_the_median_file_is_short() -> None:
    assert statistics.median(lines for lines in lengths().values() if lines) <= MEDIAN


def test_the_groups_are_not_packages() -> None:
    # With an `__init__.py` a group would hide a user's own `adapters` or `storage`.
    assert [group for group in GROUPS if (ROOT / group / "__init__.py").exists()] == []


def test_every_package_of_the_wheel_exists_and_is_typed() -> None:
    assert [name for name in packages() if not (ROOT / name / "__init__.py").is_file()] == []
    assert [name for name in packages() if not (ROOT / name / "py.typed").is_file()] == []


def test_the_locks_name_no_address_and_no_path() -> None:
    for lock in (ROOT / "hub" / "locks").glob("*.txt"):
        for line in lock.read_text(encoding="utf-8").splitlines():
            assert "://" not in line, f"{lock.name}: {line}"
            assert not line.startswith("-"), f"{lock.name}: {line}"


@pytest.mark.slow
def test_the_wheel_has_the_packages_and_nothing_else(tmp_path: Path) -> None:
    argv = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir"]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, *argv, tmp_path, ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    # what `agenthub new` copies
    expected = {*(Path(name).name for name in packages()), "agenthub_examples"}
    assert {name for name in top if not name.endswith(".dist-info")} == expected
    assert any(name.endswith(".sql") for name in names), "the migrations travel along"
    assert not [name for name in names if "__pycache__" in name or "/test" in name]
