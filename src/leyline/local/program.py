"""One prompt in, one JSON document out."""

import argparse
import json
import os
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

from leyline.local.arguments import parse
from leyline.local.engine import Answer, Setup, complete, load, private_key
from leyline.local.errors import ErrorKind, LocalError
from leyline.local.streams import reserve_streams
from leyline.local.weights import MODEL


def run(argv: list[str]) -> int:
    """Do what *argv* says. The exit status: 0 answered or served, 1 failed, 2 wrong usage."""
    started = time.perf_counter()
    arguments = parse(argv)
    try:
        reserve_streams(verbose=arguments.verbose)
        return _run(arguments, started)
    except OSError as error:  # nobody reads: a closed stream or pipe, a full disk
        with suppress(OSError, AttributeError):
            _complain(f"the answer cannot be written: {error}")
        return 1


def _run(arguments: argparse.Namespace, started: float) -> int:
    try:
        if arguments.version:
            sys.stdout.write(f"leyline-local {_version()}\n")
        elif arguments.command == "serve":
            from leyline.local.serving import serve  # http costs a prompt nothing

            serve(arguments)
        else:
            answer = _answer(arguments)
            sys.stdout.write(_written(answer, arguments, time.perf_counter() - started))
    except LocalError as error:
        document = {"error": {"kind": error.kind, "message": error.message}}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        _complain(error.message)
        return 1
    sys.stdout.flush()
    return 0


def _complain(message: str) -> None:
    sys.stderr.write(f"leyline-local: {message}\n")
    sys.stderr.flush()


def _answer(arguments: argparse.Namespace) -> Answer:
    prompt = _prompt(arguments.prompt)
    if arguments.model != MODEL:
        message = f'no model "{arguments.model}"; there is: {MODEL}'
        raise LocalError(ErrorKind.MODEL_NOT_FOUND, message)
    engine = load(
        Setup(
            context=arguments.context,
            threads=arguments.threads,
            max_tokens=arguments.max_tokens,
            verbose=arguments.verbose,
            key=private_key(),
        )
    )
    return complete(
        engine,
        prompt,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )


def _prompt(argument: str | None) -> str:
    """The prompt, to the byte as it was given."""
    if argument is not None:
        data = os.fsencode(argument)
    else:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read()
    try:
        prompt = data.decode()
    except UnicodeDecodeError as error:
        message = f"the prompt is not valid UTF-8: byte {error.start} is 0x{data[error.start]:02x}"
        raise LocalError(ErrorKind.BAD_REQUEST, message) from error
    if not prompt.strip():
        message = "the prompt is empty; give it with --prompt or on standard input"
        raise LocalError(ErrorKind.BAD_REQUEST, message)
    return prompt


def _written(answer: Answer, arguments: argparse.Namespace, duration: float) -> str:
    if arguments.text:
        return answer.text + "\n"
    document: dict[str, Any] = {
        "text": answer.text,
        "model": MODEL,
        "usage": {
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
        "finish_reason": answer.finish_reason,
        "duration_seconds": round(duration, 3),
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def _version() -> str:
    version: str = import_module("importlib.metadata").version("leyline-registry")
    return version
