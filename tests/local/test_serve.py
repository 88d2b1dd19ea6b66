"""The model over HTTP: one real server for all of these, asked in three protocols."""

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.local.programs import COMMAND, SECONDS, document

CAP = 6
PROMPT = "The capital of France is"
MESSAGES = [{"role": "user", "content": PROMPT}]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that is ready, and its address."""
    with subprocess.Popen(
        [*COMMAND, "serve", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://"), line
            yield process, line.removeprefix("listening on ").strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving("--max-tokens", str(CAP), "--context", "256") as (_, address):
        yield address


def ask(url: str, body: object = None) -> Any:
    """What the server answers; a refusal raises ``HTTPError``."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:
        return json.loads(reply.read())


def refusal(url: str, body: object = None) -> tuple[int, Any]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(url, body)
    with caught.value as reply:
        return reply.code, json.loads(reply.read())["error"]


def test_openai_chat_completions(address: str):
    body = {"model": "any", "messages": MESSAGES, "max_tokens": 3, "temperature": 0}
    reply = ask(f"{address}/v1/chat/completions", body)
    assert reply["choices"][0]["message"]["content"].strip()
    assert reply["choices"][0]["finish_reason"] == "length"
    usage = reply["usage"]
    counts = (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
    assert counts == (6, 3, 9)


def test_openai_responses(address: str):
    body = {"model": "any", "input": PROMPT, "max_output_tokens": 3, "temperature": 0}
    reply = ask(f"{address}/v1/responses", body)
    assert reply["output"][0]["content"][0]["text"].strip()
    usage = reply["usage"]
    counts = (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])
    assert counts == (6, 3, 9)


def test_anthropic_messages(address: str):
    body = {"model": "any", "messages": MESSAGES, "max_tokens": 3, "temperature": 0}
    reply = ask(f"{address}/v1/messages?beta=true", body)
    assert reply["content"][0]["text"].strip()
    assert reply["stop_reason"] == "max_tokens"
    assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (6, 3)
    assert ask(f"{address}/v1/messages/count_tokens", body) == {"input_tokens": 6}


def test_a_stream_comes_in_its_own_events(address: str):
    body = {"messages": MESSAGES, "max_tokens": 3, "stream": True}
    request = urllib.request.Request(f"{address}/v1/messages", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        lines = reply.read().decode().splitlines()
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("message_start", "message_stop")
    assert events.count("content_block_delta") == 3


@pytest.mark.parametrize(
    ("path", "body", "counted"),
    [
        ("chat/completions", {"messages": MESSAGES}, "completion_tokens"),
        ("chat/completions", {"messages": MESSAGES, "max_tokens": 32_000}, "completion_tokens"),
        ("responses", {"input": PROMPT}, "output_tokens"),
        ("responses", {"input": PROMPT, "max_output_tokens": 32_000}, "output_tokens"),
        ("messages", {"messages": MESSAGES}, "output_tokens"),
        ("messages", {"messages": MESSAGES, "max_tokens": 32_000}, "output_tokens"),
    ],
)
def test_no_answer_is_longer_than_the_cap(address: str, path: str, body: Any, counted: str):
    reply = ask(f"{address}/v1/{path}", {**body, "temperature": 0})
    assert reply["usage"][counted] == CAP


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(address: str):
    body = {"messages": [{"role": "user", "content": "word " * 300}]}
    status, error = refusal(f"{address}/v1/chat/completions", body)
    assert status == 400
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (302, 256)


def test_what_is_not_promised_is_not_there(address: str):
    assert ask(f"{address}/health") == {"status": "ok"}
    assert ask(f"{address}/v1/models")["data"][0]["id"] == "gemma-3-270m"
    assert refusal(f"{address}/props")[0] == 404
    assert refusal(f"{address}/completion", {"prompt": PROMPT})[0] == 404


def test_a_port_that_is_taken_is_refused(address: str):
    port = address.rpartition(":")[2]
    error = document("serve", "--port", port, status=1)["error"]
    assert error["kind"] == "address"
    assert f"port {port}" in error["message"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_a_host_that_others_can_reach_is_refused(host: str):
    error = document("serve", "--host", host, status=1)["error"]
    assert error["kind"] == "address"
    assert "loopback" in error["message"]


def test_sigint_ends_an_idle_server_on_the_port_it_was_given():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving("--port", str(port)) as (process, address):
        assert address == f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_sigterm_ends_a_server_in_the_midst_of_an_answer():
    body = {"messages": MESSAGES, "max_tokens": 1024, "temperature": 0, "stream": True}
    with serving("--max-tokens", "1024") as (process, address):
        request = urllib.request.Request(f"{address}/v1/messages", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            while b"content_block_delta" not in reply.readline():
                pass
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
            assert b"message_stop" not in reply.read()
