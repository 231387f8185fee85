"""What a project declares for servers: threads' time to live, webhooks, headers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agenthub import declared
from agenthub.archive import ThreadTtl
from agenthub.declared import PassedOn, Webhooks
from agenthub.errors import Invalid
from agenthub.json import text
from agenthub.project import Project, read_project


def project(tmp_path: Path, **body: Any) -> Project:
    file = tmp_path / "langgraph.json"
    file.write_text(text({"graphs": {}, **body}), "utf-8")
    return read_project(file)


def test_threads_live_as_long_as_the_checkpointer_says(tmp_path: Path) -> None:
    ttl = {"strategy": "keep_latest", "default_ttl": 90, "sweep_interval_minutes": 5}
    read = project(tmp_path, checkpointer={"ttl": ttl}).thread_ttl
    assert read == ThreadTtl("keep_latest", timedelta(minutes=90))
    assert project(tmp_path, checkpointer={"ttl": {"strategy": "delete"}}).thread_ttl is None
    assert project(tmp_path).thread_ttl is None


@pytest.mark.parametrize(
    "ttl",
    [{"default_ttl": 0}, {"default_ttl": "1"}, {"default_ttl": True},
     {"default_ttl": 1, "strategy": "burn"}],
)  # fmt: skip
def test_a_time_to_live_that_makes_no_sense_is_refused(tmp_path: Path, ttl: Any) -> None:
    with pytest.raises(Invalid, match=r"checkpointer\.ttl"):
        project(tmp_path, checkpointer={"ttl": ttl})


HEADERS = {
    "X-User-Id": "u", "x-team": "t", "User-Agent": "a", "Authorization": "secret", "X-Api-Key": "k",
    "Cookie": "c",
}  # fmt: skip


def test_own_headers_are_passed_on_and_credentials_never() -> None:
    assert PassedOn().of(HEADERS) == {"x-user-id": "u", "x-team": "t"}
    everything = PassedOn(includes=("*",)).of(HEADERS)
    assert everything == {"x-user-id": "u", "x-team": "t", "user-agent": "a"}


@pytest.mark.parametrize(
    "name", ["X-Access-Token", "x-client-secret", "X-Auth-User", "x-goog-iap-jwt-signature"]
)
def test_what_looks_like_a_secret_is_passed_on_only_where_a_project_says_so(
    tmp_path: Path, name: str
) -> None:
    assert PassedOn().of({name: "s"}) == {}
    without = project(tmp_path, http={"configurable_headers": {"excludes": ["x-team"]}})
    assert without.http.passed_on.of({name: "s"}) == {}
    named = project(tmp_path, http={"configurable_headers": {"includes": ["x-*"]}})
    assert named.http.passed_on.of({name: "s"}) == {name.lower(): "s"}


def test_a_project_says_which_headers_are_passed_on(tmp_path: Path) -> None:
    wanted = {"includes": ["User-Agent", "x-*"], "excludes": ["x-team"]}
    read = project(tmp_path, http={"configurable_headers": wanted})
    assert read.http.passed_on.of(HEADERS) == {"x-user-id": "u", "user-agent": "a"}
    assert read.ignored == ()


URL = {"allowed_domains": ["*.example.com", "hooks.test"], "require_https": True,
       "allowed_ports": [443, 8443], "max_url_length": 60}  # fmt: skip


@pytest.mark.parametrize(
    ("host", "scheme", "port", "why"),
    [
        ("a.example.com", "https", 443, None),
        ("hooks.test", "https", 8443, None),
        ("HOOKS.test", "https", 443, None),
        ("example.com", "https", 443, "may not be called at 'example.com'"),
        ("evilexample.com", "https", 443, "may not be called at"),
        ("hooks.test.evil.com", "https", 443, "may not be called at"),
        ("hooks.test", "http", 80, "must begin with https"),
        ("hooks.test", "https", 22, "at port 22"),
    ],
)
def test_webhooks_are_called_where_the_project_allows_it(
    tmp_path: Path, host: str, scheme: str, port: int, why: str | None
) -> None:
    allowed = project(tmp_path, webhooks={"url": URL}).http.webhooks
    url = f"{scheme}://{host}:{port}/x"
    if why is None:
        allowed.check(url, scheme, host, port)
        return
    with pytest.raises(Invalid, match=why):
        allowed.check(url, scheme, host, port)


def test_a_webhook_that_is_too_long_and_any_where_they_are_disabled_are_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(Invalid, match="longer than 60"):
        Webhooks(max_url_length=60).check("https://a/" + "x" * 60, "https", "a", 443)
    disabled = project(tmp_path, http={"disable_webhooks": True}).http.webhooks
    with pytest.raises(Invalid, match="calls no webhooks"):
        disabled.check("https://a/", "https", "a", 443)


def test_headers_of_webhooks_get_their_values_from_the_environment(tmp_path: Path) -> None:
    wanted = {"Authorization": "Bearer ${{ env.LG_WEBHOOK_TOKEN }}", "X-Plain": "plain"}
    sent = project(tmp_path, webhooks={"headers": wanted}).http.webhooks
    values = {"LG_WEBHOOK_TOKEN": "t", "DATABASE_URL": "secret"}
    assert sent.sent(values) == {"Authorization": "Bearer t", "X-Plain": "plain"}
    with pytest.raises(Invalid, match="has no LG_WEBHOOK_TOKEN"):
        sent.sent({})
    with pytest.raises(Invalid, match="DATABASE_URL does not begin with"):
        Webhooks(headers={"a": "${{ env.DATABASE_URL }}"}).sent(values)
    own = declared.webhooks(
        {"headers": {"a": "${{env.MY_A}}"}, "env_prefix": "MY_"}, "x", disabled=False
    )
    assert own.sent({"MY_A": "1"}) == {"a": "1"}
