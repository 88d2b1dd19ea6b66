"""HTTP in front of llama.cpp: lets three protocols through and caps every answer.

llama.cpp takes a request's own number of tokens as it is, tools ask for tens of thousands, and a
base model uses them all.
"""

import json
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from socket import AF_INET, AF_INET6
from socketserver import ThreadingTCPServer
from typing import Any, Final, cast
from urllib.parse import urlsplit

READABLE: Final = frozenset({"/health", "/v1/models"})
COUNTED: Final = "/v1/messages/count_tokens"
CAPPED: Final[Mapping[str, tuple[str, ...]]] = {
    "/v1/chat/completions": ("max_tokens", "max_completion_tokens", "n_predict"),
    "/v1/responses": ("max_output_tokens", "max_tokens", "n_predict"),
    "/v1/messages": ("max_tokens", "n_predict"),
}
"""The fields of a request, a path, that say how long the answer may be; the standard one first."""

_BODY_BYTES: Final = 64 << 20


def cap_answer(body: bytes, path: str, most: int) -> bytes:
    """*body* with the tokens of its answer lowered to *most*, also where it names no number.

    What is no JSON object is left for llama.cpp to refuse.
    """
    try:
        document: Any = json.loads(body)
    except ValueError:
        return body
    if not isinstance(document, dict):
        return body
    request = cast("dict[str, Any]", document)
    standard, *others = CAPPED[path]
    for field in (standard, *(name for name in others if name in request)):
        asked = request.get(field)
        request[field] = min(asked, most) if isinstance(asked, int) and asked > 0 else most
    return json.dumps(request).encode()


class Relay(ThreadingTCPServer):
    """Listens from its making on; serves once ``connect`` has been called and it is run.

    host, port: Where to listen; port 0 takes a free one. most: Tokens that an answer may have.
    Raises ``OSError`` where it cannot listen.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, most: int) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        super().__init__((host, port), _Handler)
        self.most = most
        self.upstream = ""
        self.key = ""

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that has gone."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as it came

    def connect(self, upstream: str, key: str) -> None:
        """Say where llama.cpp listens, and the key that it asks for."""
        self.upstream = urlsplit(upstream).netloc
        self.key = key


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0  # seconds that a client may take to say the next piece of its request

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in READABLE:
            self._relay("GET", path, None)
        else:
            self._refuse(404, f"there is no {path} here")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        length = self.headers.get("Content-Length", "")
        if path != COUNTED and path not in CAPPED:
            self._refuse(404, f"there is no {path} here; there is: {', '.join(CAPPED)}")
        elif not length.isdecimal():
            self._refuse(411, "the request must give its Content-Length")
        elif int(length) > _BODY_BYTES:
            self._refuse(413, f"the request is longer than {_BODY_BYTES} bytes")
        else:
            body = self.rfile.read(int(length))
            if path in CAPPED:
                body = cap_answer(body, path, cast("Relay", self.server).most)
            self._relay("POST", path, body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing."""

    def _relay(self, method: str, path: str, body: bytes | None) -> None:
        """Pass on one request, and the answer piece by piece as it comes."""
        relay = cast("Relay", self.server)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {relay.key}"}
        connection = HTTPConnection(relay.upstream)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Length"):
                if value := answer.getheader(name):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while piece := answer.read1(1 << 16):
                self.wfile.write(piece)
        finally:
            connection.close()  # where the client has gone, this tells llama.cpp to stop

    def _refuse(self, status: int, message: str) -> None:
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        error = {"code": status, "message": message, "type": kind}
        data = json.dumps({"error": error}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
