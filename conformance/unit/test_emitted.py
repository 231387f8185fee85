"""What a log's emissions come to, and what of it may be emitted at all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from agenthub import emit
from agenthub.emitted import Emissions, folded
from agenthub.errors import Invalid
from agenthub.events import EMITTED, STARTED, Event, started
from agenthub.ids import new_id
from agenthub.interrupts import asks_to_sign_in, sign_in_page
from agenthub.json import dumps, loads

RUN = new_id()


def begun(run_id: UUID = RUN, attempt: int = 1) -> Event:
    return Event(0, run_id, STARTED, started(run_id, attempt))


def said(text: str, step: str = "s", *, run_id: UUID = RUN, **payload: Any) -> Event:
    parts = [{"type": "text", "text": text}]
    body = {"id": "a", "append": True, "last": True, "step": step, "parts": parts, **payload}
    return Event(0, run_id, EMITTED, dumps({"name": "artifact", "payload": body}))


def message(text: str) -> Event:
    body = {"parts": [{"type": "text", "text": text}], "step": "s"}
    return Event(0, RUN, EMITTED, dumps({"name": "message", "payload": body}))


def text_of(emissions: Emissions) -> str:
    (artifact,) = emissions.artifacts.values()
    return "".join(part["text"] for part in artifact.parts)


def test_steps_add_to_an_artifact_and_a_replacement_clears_it() -> None:
    log = [begun(), said("a"), said("b", "t"), said("c")]
    assert text_of(folded(log)) == "abc"
    assert text_of(folded([*log, said("d", append=False)])) == "d"


def test_a_step_of_a_later_attempt_voids_its_own_words_and_no_others() -> None:
    log = [begun(), said("a"), said("b", "t"), begun(attempt=2), said("A"), said("C")]
    assert text_of(folded(log)) == "bAC"


def test_a_reader_is_told_what_was_added_or_else_the_whole() -> None:
    emissions = Emissions()
    log = [begun(), said("a"), said("b", "t"), begun(attempt=2), said("A"), said("C")]
    told = [change for change in map(emissions.absorb, log) if change]
    texts = ["".join(part["text"] for part in change.parts) for change in told]
    assert [(t, c.append) for t, c in zip(texts, told, strict=True)] == [
        ("a", False), ("b", True), ("bA", False), ("C", True)
    ]  # fmt: skip


def test_an_addition_keeps_what_it_does_not_say_anew() -> None:
    first = said("a", name="n", description="d", metadata={"x": 1})
    (artifact,) = folded([begun(), first, said("b", metadata={"y": 2})]).artifacts.values()
    assert (artifact.name, artifact.description) == ("n", "d")
    assert artifact.metadata == {"x": 1, "y": 2}


def test_a_message_is_of_its_run_alone() -> None:
    log = [begun(), message("one"), message("two")]
    assert folded(log).message == [{"type": "text", "text": "two"}]
    assert folded([*log, begun(attempt=2)]).message
    assert folded([*log, begun(new_id())]).message is None


def voiced(told: list[bytes], most_bytes: int = 1000) -> emit.Voice:
    return emit.Voice(RUN, told.append, lambda: ("s", 1), most_bytes)


def test_a_name_stands_for_an_id_and_the_nameless_are_counted_by_their_step() -> None:
    told: list[bytes] = []
    for _ in range(2):
        with emit.speaking(voiced(told)):
            for name in ("n", None, None):
                emit.artifact("x", name=name)
    ids = [loads(data)["payload"]["id"] for data in told]
    assert (ids[:3], len(set(ids))) == (ids[3:], 3)


def test_an_artifact_may_not_grow_beyond_the_measure_bit_by_bit() -> None:
    with emit.speaking(voiced([])):
        emit.artifact("x" * 600, id="a")
        emit.artifact("x" * 600, id="a")
        with pytest.raises(Invalid, match="larger than 1000 bytes"):
            emit.artifact("x" * 600, id="a", append=True)


def test_a_run_may_not_emit_beyond_all_measure_by_replacing() -> None:
    with emit.speaking(voiced([])):
        for _ in range(17):
            emit.artifact("x" * 800, id="a")
        with pytest.raises(Invalid, match="more than 16000 bytes"):
            emit.artifact("x" * 800, id="a")


def test_what_speaks_too_late_is_told_so() -> None:
    voice = voiced([])
    with emit.speaking(voice):
        emit.message("in time")
    with pytest.raises(RuntimeError, match="no run here"):
        emit.message("x")


BYTES = {"base64": "YQ=="}
MUSIC = "https://x.y/a.mp3"


@pytest.mark.parametrize(
    ("file", "block"),
    [
        (
            emit.File(b"a", filename="a.png"),
            {"type": "image", **BYTES, "mime_type": "image/png", "filename": "a.png"},
        ),
        (emit.File(url=MUSIC), {"type": "audio", "url": MUSIC, "mime_type": "audio/mpeg"}),
        (
            emit.File(b"a"),
            {"type": "file", **BYTES, "mime_type": "application/octet-stream"},
        ),
        (emit.Data([1]), {"type": "data", "data": [1]}),
        ({"a": 1}, {"type": "data", "data": {"a": 1}}),
    ],
)
def test_parts_are_content_blocks(file: Any, block: Any) -> None:
    told: list[bytes] = []
    with emit.speaking(voiced(told)):
        emit.message(file)
    assert loads(told[0])["payload"]["parts"] == [block]


def test_a_file_is_bytes_or_an_address() -> None:
    for content, url in ((None, None), (b"a", "https://x.y")):
        with pytest.raises(Invalid, match="either content"):
            emit.File(content, url)


def test_what_no_surface_could_show_is_refused_where_it_is_emitted() -> None:
    wrong: Any = 5
    with emit.speaking(voiced([])):
        for how in ({"name": wrong}, {"id": wrong}, {"description": wrong}):
            with pytest.raises(Invalid, match="is a text, not 5"):
                emit.artifact("x", **how)
    with pytest.raises(Invalid, match="its url a text"):
        emit.File(url=wrong)


def test_a_sign_in_is_known_by_its_kind_and_leads_to_pages_of_the_web_alone() -> None:
    asked = emit.authorization(url="https://x.y", prompt="Sign in.", scopes=["mail"])
    assert asks_to_sign_in(asked)
    assert sign_in_page(asked) == "https://x.y"
    assert asked["payload"]["scopes"] == ["mail"]
    # as an adapter's `Ask` is shown
    foreign = {"id": "1", "kind": "auth", "prompt": "Sign in.", "payload": {"url": "javascript:1"}}
    assert asks_to_sign_in(foreign)
    assert sign_in_page(foreign) is None
    for other in ({"kind": "auth"}, {"kind": "input", "prompt": "?"}, "auth", None):
        assert not asks_to_sign_in(other)
        assert sign_in_page(other) is None
    with pytest.raises(Invalid, match="begins with https"):
        emit.authorization(url="javascript:1", prompt="Sign in.")
