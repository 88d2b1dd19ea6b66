"""Answers as each protocol gives them: whole, or as the events of a stream."""

from typing import Any, Final

from leyline.model import Usage
from tests.clis.provider_protocol import Protocol

USAGE: Final = Usage(
    input_tokens=1234,
    cached_tokens=200,
    output_tokens=63,
    reasoning_tokens=7,
    total_tokens=1297,
    measured=True,
)
"""What every answer costs, in leyline's terms. Each protocol says so in its own: Anthropic counts
cached tokens beside the input, Gemini counts reasoning beside the answer."""

Document = dict[str, Any]
Event = tuple[str, Document]
"""Name (empty where the protocol has none) and data."""


def whole(protocol: Protocol, model: str, text: str) -> Document:
    """The answer as one document."""
    match protocol:
        case Protocol.GEMINI:
            return _gemini(model, text, finish="STOP")
        case Protocol.ANTHROPIC:
            content = [{"type": "text", "text": text}] if text else []
            return {**_message(model), "content": content, "stop_reason": "end_turn"}
        case Protocol.CHAT:
            message = {"role": "assistant", "content": text}
            return _completion(model, message=message, finish_reason="stop", usage=_CHAT_USAGE)
        case Protocol.RESPONSES:
            return _response(model, "completed", text)


def halves(text: str) -> list[str]:
    """The pieces in which *text* is streamed."""
    half = len(text) // 2 + 1
    return [piece for piece in (text[:half], text[half:]) if piece]


def events(protocol: Protocol, model: str, text: str) -> list[Event]:
    """The answer as a stream, its text in two pieces."""
    pieces = halves(text)
    match protocol:
        case Protocol.GEMINI:
            first = [("", _gemini(model, piece)) for piece in pieces]
            return [*first, ("", _gemini(model, "", finish="STOP"))]
        case Protocol.ANTHROPIC:
            return [(event["type"], event) for event in _message_events(model, pieces)]
        case Protocol.CHAT:
            return [("", event) for event in _completion_events(model, pieces)]
        case Protocol.RESPONSES:
            numbered = enumerate(_response_events(model, pieces))
            return [(event["type"], {**event, "sequence_number": n}) for n, event in numbered]


def _gemini(model: str, text: str, finish: str | None = None) -> Document:
    candidate: Document = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    if finish:
        candidate["finishReason"] = finish
    usage = {
        "promptTokenCount": USAGE.input_tokens,
        "cachedContentTokenCount": USAGE.cached_tokens,
        "candidatesTokenCount": USAGE.output_tokens - USAGE.reasoning_tokens,
        "thoughtsTokenCount": USAGE.reasoning_tokens,
        "totalTokenCount": USAGE.total_tokens,
    }
    return {"candidates": [candidate], "modelVersion": model, "usageMetadata": usage}


_MESSAGE_USAGE: Final = {
    "input_tokens": USAGE.input_tokens - USAGE.cached_tokens,
    "cache_read_input_tokens": USAGE.cached_tokens,
    "cache_creation_input_tokens": 0,
    "output_tokens": USAGE.output_tokens,
}


def _message(model: str) -> Document:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": _MESSAGE_USAGE,
    }  # fmt: skip


def _message_events(model: str, pieces: list[str]) -> list[Document]:
    block = {"type": "text", "text": ""}
    return [
        {"type": "message_start", "message": _message(model)},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": USAGE.output_tokens},
        },
        {"type": "message_stop"},
    ]


_CHAT_USAGE: Final = {
    "prompt_tokens": USAGE.input_tokens,
    "prompt_tokens_details": {"cached_tokens": USAGE.cached_tokens},
    "completion_tokens": USAGE.output_tokens,
    "completion_tokens_details": {"reasoning_tokens": USAGE.reasoning_tokens},
    "total_tokens": USAGE.total_tokens,
}


def _completion(
    model: str, *, usage: Document | None = None, chunk: bool = False, **choice: Any
) -> Document:
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk" if chunk else "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, **choice}] if choice else [],
    }
    return {**document, "usage": usage} if usage else document


def _completion_events(model: str, pieces: list[str]) -> list[Document]:
    deltas = [{"role": "assistant", "content": piece} for piece in pieces]
    return [
        *(_completion(model, chunk=True, delta=delta, finish_reason=None) for delta in deltas),
        _completion(model, chunk=True, delta={}, finish_reason="stop"),
        _completion(model, chunk=True, usage=_CHAT_USAGE),
    ]


def _response_item(text: str, status: str) -> Document:
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {
        "type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content,
    }  # fmt: skip


def _response(model: str, status: str, text: str = "") -> Document:
    document: Document = {
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": model,
        "status": status, "error": None, "output": [],
    }  # fmt: skip
    if status == "completed":
        document["output"] = [_response_item(text, "completed")]
        document["usage"] = {
            "input_tokens": USAGE.input_tokens,
            "input_tokens_details": {"cached_tokens": USAGE.cached_tokens},
            "output_tokens": USAGE.output_tokens,
            "output_tokens_details": {"reasoning_tokens": USAGE.reasoning_tokens},
            "total_tokens": USAGE.total_tokens,
        }
    return document


def _response_events(model: str, pieces: list[str]) -> list[Document]:
    text = "".join(pieces)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    started = _response_item("", "in_progress")
    return [
        {"type": "response.created", "response": _response(model, "in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": started},
        *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces),
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": _response_item(text, "completed"),
        },
        {"type": "response.completed", "response": _response(model, "completed", text)},
    ]
