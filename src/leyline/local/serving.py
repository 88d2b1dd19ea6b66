"""``leyline-local serve``: the model over HTTP, for this machine alone."""

import argparse
import ipaddress
import os
import signal
import sys
from threading import Thread
from types import FrameType
from typing import Final, NoReturn

from leyline.local.engine import Setup, load, private_key
from leyline.local.errors import ErrorKind, LocalError
from leyline.local.relay import Relay

SLOTS: Final = 4
"""Requests that are answered at the same time; more of them wait."""


def serve(arguments: argparse.Namespace) -> NoReturn:
    """Serve until SIGTERM or SIGINT, which end the process. Raises ``LocalError``."""
    relay = _listen(arguments.host, arguments.port, arguments.max_tokens)
    key = private_key()
    engine = load(
        Setup(
            context=arguments.context,
            threads=arguments.threads,
            max_tokens=arguments.max_tokens,
            slots=SLOTS,
            verbose=arguments.verbose,
            key=key,
        )
    )
    relay.connect(engine.listening_address, key)
    stopped = _stop_signals()
    Thread(target=relay.serve_forever, daemon=True).start()
    sys.stdout.write(f"listening on {relay.url}\n")
    sys.stdout.flush()
    os.read(stopped, 1)
    os._exit(0)  # letting go of the engine would wait for the answers under way


def _listen(host: str, port: int, most: int) -> Relay:
    """Refuse a host that others can reach, and a port that is taken, before anything is loaded."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        message = (
            f"{host} is not a loopback address; the server asks for no key, so it serves this "
            "machine alone: leave --host away, or give 127.0.0.1 or ::1"
        )
        raise LocalError(ErrorKind.ADDRESS, message)
    try:
        return Relay(host, port, most)
    except OSError as error:
        message = (
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes a free one"
        )
        raise LocalError(ErrorKind.ADDRESS, message) from error


def _stop_signals() -> int:
    """A descriptor that can be read once SIGTERM or SIGINT came, to whichever thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    return reader


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Replace the default, which ends the process; Python has written to the descriptor."""
