"""Configuration: read once, refused when it makes no sense, and documented as it is."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from agenthub.config import RESERVED, Config, table
from agenthub.errors import Invalid

README = Path(__file__).parents[2] / "README.md"


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Config.from_env({"PATH": "/bin", "HOME": "/root"}) == Config()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("DATABASE_URL", "postgresql://h/d", "database_url", "postgresql://h/d"),
        ("REDIS_URL", "redis://h", "redis_url", "redis://h"),
        ("AGENTHUB_PORT", "8080", "port", 8080),
        ("AGENTHUB_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("AGENTHUB_SLICE_SECONDS", "0.5", "slice_seconds", 0.5),
        ("AGENTHUB_DRAIN_SECONDS", "0", "drain_seconds", 0.0),
        ("AGENTHUB_PUBLIC_URL", "https://hub", "public_url", "https://hub"),
        ("AGENTHUB_ALLOWED_HOSTS", "a.org, b.org,,", "allowed_hosts", ("a.org", "b.org")),
        ("AGENTHUB_ALLOWED_ORIGINS", "", "allowed_origins", ()),
    ],
)
def test_a_variable_becomes_a_typed_setting(
    variable: str, text: str, name: str, value: Any
) -> None:
    read = getattr(Config.from_env({variable: text}), name)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL"])
def test_an_empty_address_is_none(variable: str) -> None:
    assert Config.from_env({variable: ""}) == Config()


@pytest.mark.parametrize("name", ["AGENTHUB_PROT", "AGENTHUB_DATABASE_URL", "AGENTHUB_"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(Invalid, match=rf"unknown setting {name}; known: .*AGENTHUB_PORT"):
        Config.from_env({name: "1"})


def test_names_of_the_embedded_servers_are_left_alone() -> None:
    assert Config.from_env(dict.fromkeys(RESERVED, "x")) == Config()


@pytest.mark.parametrize(
    ("variable", "text", "kind"),
    [
        ("AGENTHUB_PORT", "http", "int"),
        ("AGENTHUB_PORT", "", "int"),
        ("AGENTHUB_SLOTS", "1.5", "int"),
        ("AGENTHUB_LEASE_SECONDS", "15s", "float"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_name(
    variable: str, text: str, kind: str
) -> None:
    with pytest.raises(Invalid, match=f"{variable}='{text}' is not a {kind}"):
        Config.from_env({variable: text})


@pytest.mark.parametrize(
    ("lease", "renew", "margin", "fits"),
    [(15.0, 4.0, 3.0, True), (15.0, 4.0, 3.1, False), (1.5, 0.4, 0.3, True), (9.0, 3.1, 0, False)],
)
def test_three_renewals_must_fit_into_the_trusted_part_of_a_lease(
    lease: float, renew: float, margin: float, fits: bool
) -> None:
    given = {"lease_seconds": lease, "renew_seconds": renew, "lease_margin_seconds": margin}
    if fits:
        assert Config(**given).lease_seconds == lease
        return
    with pytest.raises(Invalid, match="three renewals"):
        Config(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slots", 0),
        ("claim_batch", 0),
        ("max_failures", 0),
        ("port", -1),
        ("poll_seconds", 0.0),
        ("renew_seconds", 0.0),
        ("reap_seconds", -1.0),
        ("drain_seconds", -0.5),
        ("lease_seconds", float("nan")),
        ("poll_seconds", float("inf")),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(Invalid, match=rf"{name} is {value}"):
        Config(**{name: value})


def test_the_table_has_a_row_for_every_setting() -> None:
    rows = table().splitlines()
    assert len(rows) == 2 + len(fields(Config))
    assert all(row.count("|") == 4 for row in rows)
    assert "| `AGENTHUB_PORT` | `2024` | Port that the server listens on. |" in rows
    assert any(row.startswith("| `DATABASE_URL` |  |") for row in rows)


def test_the_readme_shows_the_table_as_it_is() -> None:
    _, _, rest = README.read_text("utf-8").partition("<!-- config -->")
    shown, end, _ = rest.partition("<!-- /config -->")
    assert end, "README.md has no <!-- config --> … <!-- /config -->"
    assert shown.strip() == table()


def test_an_unknown_policy_for_cards_is_refused() -> None:
    with pytest.raises(Invalid, match="'loose', not one of strict, header, merge"):
        Config(card_compat="loose")
