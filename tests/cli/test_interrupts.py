"""Ctrl-C at any moment, from the first on: the exit code says so, and there is no traceback."""

import signal
import subprocess
import sys
import time

import pytest

from leyline.cli.exits import ExitCode
from tests.cli.conftest import Machine

PROGRAM = """
import sys
import leyline_main

assert "leyline" not in sys.modules
sys.argv[:] = ["leyline", "services"]
print("up", flush=True)
leyline_main.main()
"""
"""What the script that is installed does, and says when it has come to us."""


def interrupted(machine: Machine, delay: float) -> tuple[int, str]:
    """Exit code and last words of a program that is interrupted *delay* seconds after its start."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=machine.folder,
        env=machine.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("part", range(4))
def test_an_interrupt_at_any_moment_is_no_traceback(machine: Machine, part: int):
    machine.services(svc="cat")
    took = time.monotonic()
    assert machine.run("services").returncode == 0
    took = time.monotonic() - took
    for step in range(6):
        code, stderr = interrupted(machine, took * (6 * part + step) / 24)
        # Python ends itself by the signal where it went through code that is made at run time.
        assert code in (ExitCode.OK, ExitCode.INTERRUPTED, -signal.SIGINT), stderr
        assert "Traceback" not in stderr
        assert "KeyboardInterrupt" not in stderr


def test_an_interrupt_while_the_program_is_still_loaded_ends_it_at_once(machine: Machine):
    program = """
import os, signal, sys
import leyline_main


class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "leyline.service_registry":
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupts())
sys.argv[:] = ["leyline", "services"]
leyline_main.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=machine.folder,
        env=machine.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.INTERRUPTED, "", "")


def test_in_the_background_of_a_script_an_interrupt_is_not_heard(machine: Machine):
    machine.services(svc="sleep 1; cat")
    process = machine.start(
        "run", "hi", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    with process:
        for _ in range(10):
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"hi\n", b"")
    assert process.returncode == ExitCode.OK
