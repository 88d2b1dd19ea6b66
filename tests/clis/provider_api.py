"""A provider on the loopback: what the real command-line tools talk to in these tests.

It speaks the protocols of Gemini, Anthropic and OpenAI (chat and responses) well enough for them,
tells every caller the same known numbers of tokens (``USAGE``), and refuses on request.
"""

import gzip
import hashlib
import json
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field, frozen

from tests.clis.provider_answers import USAGE, events, halves, whole
from tests.clis.provider_errors import Mode, refusal
from tests.clis.provider_protocol import Protocol, model_of, prompt_of, protocol_of, wants_stream

__all__ = ["USAGE", "Mode", "Protocol", "ProviderApi", "Request", "answer_to", "serve"]


@frozen(kw_only=True)
class Request:
    """One call to the model. prompt: The last text of the user in it."""

    protocol: Protocol
    model: str
    prompt: str


@define(kw_only=True)
class ProviderApi:
    """The provider of one test.

    url: Where it listens. mode: How it answers from now on.
    answer: What it answers to everything. None: what ``answer_to`` says.
    retry_after: Seconds to wait that it names when it refuses. None: it names none.
    resets_at: Unix time of the reset of a plan's limit.
    requests: Calls to the model so far, in order.
    go_on: Cleared by a test that wants a stream to wait before the last piece of its text.
    """

    url: str = ""
    mode: Mode = Mode.OK
    answer: str | None = None
    retry_after: int | None = None
    resets_at: int = field(factory=lambda: int(time.time()) + 3600)
    requests: list[Request] = field(factory=list)
    go_on: threading.Event = field(factory=threading.Event)
    _closing: threading.Event = field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.go_on.set()

    def wait_until_closed(self, connection: Any) -> None:
        """Say nothing for as long as somebody waits for it."""
        while not self._closing.is_set():
            if select.select([connection], [], [], 0.1)[0]:
                return  # the client has hung up

    def close(self) -> None:
        self._closing.set()
        self.go_on.set()


def answer_to(prompt: str) -> str:
    """The answer to *prompt*; one that differs, by as little as a space, has another answer."""
    return f"heard {len(prompt)} characters, {hashlib.sha256(prompt.encode()).hexdigest()[:12]}"


@contextmanager
def serve() -> Iterator[ProviderApi]:
    """A provider that listens until the block is left."""
    api = ProviderApi()

    class Handler(_Handler):
        provider = api

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # leaving the block waits for them
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield api
        finally:
            api.close()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    provider: ProviderApi

    def log_message(self, *_: object) -> None:
        """The tests look at ``requests``."""

    def do_GET(self) -> None:
        self._send_json(200, {}, {"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        with suppress(ConnectionError):  # a tool that is stopped does not say goodbye
            self._answer(json.loads(self._body() or b"{}"))

    def _answer(self, body: Any) -> None:
        api, protocol = self.provider, protocol_of(self.path)
        if protocol is None:  # counting tokens, telemetry
            self._send_json(200, {}, {"totalTokens": 1, "input_tokens": 1})
            return
        model, prompt = model_of(protocol, self.path, body), prompt_of(protocol, body)
        api.requests.append(Request(protocol=protocol, model=model, prompt=prompt))
        match api.mode:
            case Mode.HANG:
                api.wait_until_closed(self.connection)
                self.close_connection = True
            case Mode.DROP:
                self.close_connection = True
            case Mode.OK | Mode.CUT:
                text = answer_to(prompt) if api.answer is None else api.answer
                if wants_stream(protocol, self.path, body):
                    self._send_stream(protocol, model, text)
                else:
                    self._send_json(200, {}, whole(protocol, model, text))
            case mode:
                status, headers, error = refusal(
                    protocol,
                    mode,
                    model=model,
                    retry_after=api.retry_after,
                    resets_at=api.resets_at,
                )
                self._send_json(status, headers, error)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _send_json(self, status: int, headers: dict[str, str], document: Any) -> None:
        body = json.dumps(document).encode()
        self._send_head(status, {**headers, "content-type": "application/json"}, len(body))
        self.wfile.write(body)

    def _send_stream(self, protocol: Protocol, model: str, text: str) -> None:
        self._send_head(200, {"content-type": "text/event-stream"})
        stream = events(protocol, model, text)
        if self.provider.mode is Mode.CUT:
            stream = stream[: len(stream) // 2]
        last_piece = json.dumps(halves(text)[-1:])[2:-2]
        for name, data in stream:
            written = json.dumps(data)
            if last_piece in written:
                self.provider.go_on.wait()
            if name:
                self.wfile.write(f"event: {name}\n".encode())
            self.wfile.write(f"data: {written}\n\n".encode())
            self.wfile.flush()
        if protocol is Protocol.CHAT and self.provider.mode is not Mode.CUT:
            self.wfile.write(b"data: [DONE]\n\n")

    def _send_head(self, status: int, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("content-length", str(length))
        self.send_header("connection", "close")  # one request a connection: simple to wait for
        self.end_headers()
