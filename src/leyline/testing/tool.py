"""A command-line tool that does what its script says: ``python -m leyline.testing.tool SCRIPT``.

SCRIPT is a JSON object; without one, it is what $LEYLINE_SCRIPT holds, or the file that this names.
``ScriptedTool`` writes it and says what its keys mean. The prompt comes in on standard input. Loads
nothing of leyline, so that it starts fast where it is run as a file.
"""

import fcntl
import json
import os
import sys
import time
from typing import Any


def main(script: dict[str, Any]) -> int:
    """Play *script*, and return the exit status."""
    if script.get("ignores_sigterm"):
        import signal  # slow to load, and seldom needed

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    prompt = sys.stdin.buffer.read().decode("utf-8", "replace")
    children = [
        _grandchild(script["grandchildren_live"], detached=script["grandchildren_detached"])
        for _ in range(script.get("grandchildren", 0))
    ]
    number, wait = _enter(script, prompt, children)
    failures = script.get("failures", ())
    kind = failures[number] if number < len(failures) else None
    if wait is not None:
        return _fail("rate_limited", "429: too many runs", retry_after=wait)
    latency = script.get("latency", 0.0)
    if kind is not None:
        time.sleep(latency)
        return _fail(kind, "as scripted")
    sys.stderr.write(script.get("stderr", ""))
    sys.stderr.flush()
    _answer(script, prompt, latency)
    return int(script.get("exit_code", 0))


def _answer(script: dict[str, Any], prompt: str, latency: float) -> None:
    """Write the answer, a piece after each pause, and what it used."""
    plain = script.get("stdout")
    text = plain if plain is not None else script.get("text", prompt)
    count = max(1, script.get("pieces", 1))
    for number in range(count):
        time.sleep(latency / count)
        piece = text[len(text) * number // count : len(text) * (number + 1) // count]
        sys.stdout.write(piece if plain is not None else json.dumps({"piece": piece}) + "\n")
        sys.stdout.flush()
    if plain is None:
        given = script.get("input_tokens") or len(prompt) // 4 + 1
        said = script.get("output_tokens") or len(text) // 4 + 1
        used = {"input_tokens": given, "output_tokens": said}
        sys.stdout.write(json.dumps({"model": _model(), "usage": used}) + "\n")
        sys.stdout.flush()


def _fail(kind: str, message: str, *, retry_after: float | None = None) -> int:
    error = {"message": f"{kind}: {message}", "retry_after": retry_after}
    sys.stdout.write(json.dumps({"error": error}) + "\n")
    sys.stdout.flush()
    return 1


def _model() -> str | None:
    arguments = sys.argv[1:]
    return arguments[arguments.index("--model") + 1] if "--model" in arguments else None


def _grandchild(seconds: float, *, detached: bool) -> int:
    """Start a process that lives so long and keeps the output open; its process id."""
    pid = os.fork()
    if pid == 0:
        if detached:
            os.setsid()
        time.sleep(seconds)
        os._exit(0)
    return pid


def _enter(script: dict[str, Any], prompt: str, children: list[int]) -> tuple[int, float | None]:
    """How many runs began before this one, and for how many seconds it is refused, if it is."""
    folder = script.get("folder")
    if folder is None:
        return 0, None
    log = os.path.join(folder, "runs.jsonl")  # noqa: PTH118  (pathlib is slow to load)
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go of when this process ends, at the latest
    lines = _all(descriptor).splitlines()
    now = time.monotonic()
    wait = _wait(lines, now, script.get("rate_limit"))
    run = {
        "pid": os.getpid(),
        "at": time.time(),
        "clock": now,
        "prompt": prompt,
        "refused": wait is not None,
        "grandchildren": children,
    }
    os.write(descriptor, json.dumps(run).encode() + b"\n")
    os.close(descriptor)
    return len(lines), wait


def _all(descriptor: int) -> bytes:
    found = b""
    while block := os.read(descriptor, 2**20):
        found += block
    return found


def _wait(lines: list[bytes], now: float, limit: list[float] | None) -> float | None:
    """Seconds until one more run is within *limit* (runs, seconds); None: it is now."""
    if limit is None:
        return None
    amount, per = limit
    counted: list[float] = []
    for line in reversed(lines):
        run = json.loads(line)
        if run["clock"] <= now - per:
            break
        if not run["refused"]:
            counted.append(run["clock"])
    if len(counted) < amount:
        return None
    return counted[-1] + per - now


def _script() -> dict[str, Any]:
    given = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].startswith("{") else None
    text = given or os.environ.get("LEYLINE_SCRIPT", "{}")
    if not text.startswith("{"):
        with open(text, encoding="ascii") as file:  # noqa: PTH123  (as above)
            text = file.read()
    script: dict[str, Any] = json.loads(text)
    return script


if __name__ == "__main__":
    sys.exit(main(_script()))
