"""The protocols that providers speak: where a request names its model and holds its prompt."""

import re
from enum import StrEnum
from typing import Any


class Protocol(StrEnum):
    """A way of asking a model, told apart by the path of the request."""

    GEMINI = "gemini"
    ANTHROPIC = "anthropic"
    CHAT = "chat"
    RESPONSES = "responses"


_PATHS = {
    Protocol.GEMINI: re.compile(r"/models/(?P<model>[^/:]+):(stream)?generateContent$", re.I),
    Protocol.ANTHROPIC: re.compile(r"/v1/messages$"),
    Protocol.CHAT: re.compile(r"/chat/completions$"),
    Protocol.RESPONSES: re.compile(r"/responses$"),
}


def protocol_of(path: str) -> Protocol | None:
    """The protocol of a call to the model at *path*; None where it is something else."""
    for protocol, pattern in _PATHS.items():
        if pattern.search(path.partition("?")[0]):
            return protocol
    return None


def model_of(protocol: Protocol, path: str, body: Any) -> str:
    if protocol is Protocol.GEMINI:
        match = _PATHS[protocol].search(path.partition("?")[0])
        return match["model"] if match else ""
    return body.get("model", "")


def prompt_of(protocol: Protocol, body: Any) -> str:
    """The last text that the user said."""
    key = {Protocol.GEMINI: "contents", Protocol.RESPONSES: "input"}.get(protocol, "messages")
    said: str | list[dict[str, Any]] = body[key]
    if isinstance(said, str):
        return said
    parts = [message for message in said if message.get("role") == "user"][-1]
    content = parts.get("parts", parts.get("content"))
    if isinstance(content, str):
        return content
    return [part["text"] for part in content if "text" in part][-1]


def wants_stream(protocol: Protocol, path: str, body: Any) -> bool:
    if protocol is Protocol.GEMINI:
        return ":stream" in path
    return bool(body.get("stream"))
