"""A live Redis server of our own, and a ledger whose time the test may tell."""

import json
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path

from leyline.clock import Clock
from leyline.quota.account import Account
from leyline.quota.redis import RedisLedger
from leyline.quota.redis_server import RedisServer
from tests.tools import require


class Server:
    """A Redis server of our own, on a free port of the loopback."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.program = require("redis-server")
        self.folder, self.options = folder, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        argv = [self.program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        argv += ["--dir", str(self.folder), "--logfile", str(self.folder / "log"), *self.options]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, *words: str | bytes) -> str:
        """The raw reply to one command: a client that shares nothing with the one under test."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as link:
            raw = [word.encode() if isinstance(word, str) else word for word in words]
            link.sendall(b"*%d\r\n" % len(raw))
            link.sendall(b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw))
            with link.makefile("rb") as reader:
                head = reader.readline().decode().strip()
                if head[0] == "$" and head != "$-1":
                    return reader.read(int(head[1:])).decode(errors="replace")
                return head

    def state(self, account: str = "a") -> Account:
        text = self.ask("GET", f"leyline:{{{account}}}")
        return Account() if text == "$-1" else Account.load(text)


class ToldTime(RedisServer):
    """The server, but the script takes its time from the test; remembers what it replied."""

    micros: int | None = None
    reply: list[str]

    async def run(self, key: str, argument: str) -> list[str]:
        if self.micros is not None:
            request = json.loads(argument)
            argument = json.dumps({**request, "time": divmod(self.micros, 1_000_000)})
        self.reply = await super().run(key, argument)
        return self.reply


def told(url: str, micros: int | None, clock: Clock) -> tuple[RedisLedger, ToldTime]:
    script = resources.files("leyline.quota").joinpath("account.lua").read_text()
    if micros is not None:
        altered = script.replace('redis.call("TIME")', "request.time")
        assert altered != script
        script = altered
    ledger = RedisLedger(url, clock=clock)
    ledger._server = ToldTime(url, script)
    ledger._server.micros = micros
    return ledger, ledger._server
