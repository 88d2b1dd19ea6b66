"""The answer of a streamed run, seen growing: however its bytes are cut, the same text."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leyline.config import OutputConfig, OutputFormat, ServiceConfig, StreamConfig
from leyline.model import Completed
from leyline.outcome import OutcomeReader, StreamReader
from leyline.services import resolve

TEXT = ServiceConfig("svc", "svc")
LINES = ServiceConfig(
    "svc",
    "svc",
    output=OutputConfig(format=OutputFormat.JSON, text="out.text"),
    stream=StreamConfig(
        text="type == 'delta' && text",
        output=OutputConfig(format=OutputFormat.JSONL, text="out[?type=='delta'].text"),
    ),
)

cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces(config: ServiceConfig, *parts: bytes, secrets: tuple[str, ...] = ()) -> list[str]:
    reader = StreamReader(config, secrets=secrets)
    found = [piece for part in parts for piece in reader.feed(part)]
    return [*found, *reader.finish()]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


def final_text(config: ServiceConfig, data: bytes) -> str:
    completed = Completed(exit_code=0, stdout=data, stderr=b"", duration=1.0)
    reader = OutcomeReader(config.streamed())
    return reader.read(completed, prompt="p", model=None, now=0.0).text


def line(**document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def test_each_line_tells_what_it_adds():
    reader = StreamReader(LINES)
    said = line(type="delta", text="one ")
    assert reader.feed(line(type="start") + said[:9]) == []
    assert reader.feed(said[9:] + line(type="delta", text="two")) == ["one ", "two"]
    assert reader.finish() == []


def test_lines_that_are_no_documents_of_the_tool_add_nothing():
    noise = (b"Warning: no\n", b"\n", b"[1]\n", b'"delta"\n', b"{\xff\n", b"null\n")
    others = (line(type="delta"), line(type="delta", text=None), line(type="delta", text=True))
    assert pieces(LINES, *noise, *others, line(type="delta", text="x")) == ["x"]


def test_the_last_line_needs_no_line_break():
    assert pieces(LINES, line(type="delta", text="x").rstrip()) == ["x"]


def test_text_is_told_as_it_is_written():
    reader = StreamReader(TEXT)
    assert reader.feed(b"one tw") == ["one tw"]
    assert reader.feed(b"o\n\n") == ["o"]
    assert reader.feed(b"three") == ["\n\nthree"]
    assert reader.feed(b"\n") == []
    assert reader.finish() == []


def test_a_character_is_told_when_all_of_it_is_there():
    reader = StreamReader(TEXT)
    euro = "€".encode()
    assert reader.feed(b"1" + euro[:1]) == ["1"]
    assert reader.feed(euro[1:2]) == []
    assert reader.feed(euro[2:]) == ["€"]
    assert reader.feed(euro[:2]) == []
    assert reader.finish() == ["\N{REPLACEMENT CHARACTER}"]


@given(written=st.text(max_size=60) | st.binary(max_size=60), at=cuts)
def test_text_cut_anywhere_is_the_text_of_the_outcome(written: str | bytes, at: list[int]):
    data = written if isinstance(written, bytes) else written.encode("utf-8", "replace")
    assert "".join(pieces(TEXT, *cut(data, at))) == data.decode("utf-8", "replace").rstrip()


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=6), at=cuts)
def test_lines_cut_anywhere_give_the_text_of_the_outcome(texts: list[str], at: list[int]):
    data = b"".join(line(type="delta", text=text) for text in texts)
    found = pieces(LINES, *cut(data, at))
    assert found == [text for text in texts if text]
    if "".join(found).strip():
        assert "".join(found) == final_text(LINES, data)


@given(at=cuts)
def test_a_secret_is_in_no_piece_wherever_it_is_cut(at: list[int]):
    data = b"the key is sk-loopback-1, sk-loop"
    found = "".join(pieces(TEXT, *cut(data, at), secrets=("sk-loopback-1",)))
    assert found == "the key is [redacted], sk-loop"


@pytest.mark.parametrize("output_format", [OutputFormat.JSON, OutputFormat.AUTO])
def test_an_answer_that_cannot_be_told_from_the_rest_is_not_told(output_format: OutputFormat):
    config = ServiceConfig("s", "s", output=OutputConfig(format=output_format))
    assert pieces(config, b'{"text": "x"}\n', b"more") == []


def test_a_long_line_in_many_parts_is_put_together_once():
    text = "x" * 4_000_000
    data = line(type="delta", text=text)
    parts = [data[i : i + 1000] for i in range(0, len(data), 1000)]
    assert pieces(LINES, *parts) == [text]


GEMINI = (
    {"type": "init", "model": "m"},
    {"type": "message", "role": "user", "content": "Hello"},
    {"type": "message", "role": "assistant", "content": "It is ", "delta": True},
    {"type": "message", "role": "assistant", "content": "42.", "delta": True},
    {"type": "result", "status": "success", "stats": {"models": {"m": {}}}},
)


def _delta(text: str, parent: str | None = None) -> dict[str, object]:
    delta = {"type": "text_delta", "text": text}
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    return {"type": "stream_event", "parent_tool_use_id": parent, "event": event}


_WHOLE = {"type": "assistant", "message": {"content": [{"type": "text", "text": "It is 42."}]}}
_RESULT = {"type": "result", "is_error": False, "num_turns": 1, "result": "It is 42."}
STREAMS = {
    "gemini": GEMINI,
    "claude": (_delta("It is "), _delta("(helper)", "tool-1"), _delta("42."), _WHOLE, _RESULT),
    "qwen": (_delta("It is "), _delta("42."), _WHOLE, _RESULT),
    "copilot": (
        {"type": "assistant.message_delta", "data": {"deltaContent": "It is "}},
        {"type": "assistant.message_delta", "data": {"deltaContent": "42."}},
        {"type": "assistant.message", "data": {"content": "It is 42."}},
        {"type": "result", "exitCode": 0},
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_message_that_is_sent_once_more_as_a_whole_is_not_doubled(name: str):
    config = resolve(ServiceConfig(name, name))
    data = b"".join(line(**document) for document in STREAMS[name])
    assert pieces(config, data) == ["It is ", "42."]
    assert final_text(config, data) == "It is 42."


def test_what_qwen_writes_in_place_of_an_answer_is_not_a_piece_of_one():
    config = resolve(ServiceConfig("qwen", "qwen"))
    error = "[API Error: 401 Incorrect API key provided.]"
    assert pieces(config, line(**_delta(error))) == []
    assert pieces(config, line(**_delta("x [API Error: 401]"))) == ["x [API Error: 401]"]


def test_a_gemini_stream_that_ends_half_way_is_a_failure_with_exit_status_0():
    error = {"type": "error", "severity": "error", "message": "Model stream ended."}
    cut_off = (*GEMINI[:3], error, {"type": "result", "status": "error", "stats": {}})
    data = b"".join(line(**document) for document in cut_off)
    reader = OutcomeReader(resolve(ServiceConfig("gemini", "gemini")).streamed())
    completed = Completed(exit_code=0, stdout=data, stderr=b"", duration=1.0)
    outcome = reader.read(completed, prompt="p", model=None, now=0.0)
    assert outcome.failure
    assert outcome.failure.message == "Model stream ended."
