"""A Redis or Valkey server that runs one script, each time as one transaction on one key."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Protocol, cast
from urllib.parse import unquote, urlsplit

import anyio
import anyio.lowlevel

from leyline.errors import LedgerError

_SCHEMES: Final = {
    "redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix",
}  # fmt: skip
"""What an address may begin with, and what redis-py calls it."""

_TIMEOUT: Final = 5.0
"""Seconds in which the server has to answer, connecting included."""

_CONNECTIONS: Final = 4
"""Open to the server at most; more calls than that wait for each other here, in the same time."""


class _Client(Protocol):
    """What is used of redis-py."""

    async def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> list[str]: ...
    async def eval(self, script: str, numkeys: int, *keys_and_args: str) -> list[str]: ...
    async def aclose(self) -> None: ...


class RedisServer:
    """The server at *url*, for one event loop. Connects when it is first used.

    address: *url* without login and options; safe to show.

    Raises LedgerError if *url* cannot be used, or redis-py is not installed.
    """

    def __init__(self, url: str, script: str) -> None:
        self.address, self._secrets = _without_login(url)
        self._client = _client(url, self.address)
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._turn = anyio.Semaphore(_CONNECTIONS)
        self._closed = False

    async def run(self, key: str, argument: str) -> list[str]:
        """What the script replies for *key* and *argument*, within 5 s.

        Raises LedgerError if there is no reply. Cancellation: once sent, it is completed first.
        """
        end = anyio.current_time() + _TIMEOUT
        reply: list[str] = []
        try:
            async with self._turn_before(end):
                # A caller that is cancelled knows afterwards what it has to give back.
                with anyio.fail_after(end - anyio.current_time(), shield=True):
                    reply = await self._evaluate(key, argument)
        except Exception as error:
            reason = self._reason(error, key)
            if reason is None:
                raise
            # Without its cause: a server quotes what it did not understand, passwords too.
            raise LedgerError(self.address, reason) from None
        return reply

    async def aclose(self) -> None:
        """Close the connections; everything else raises LedgerError from now on."""
        self._closed = True
        await self._client.aclose()

    @asynccontextmanager
    async def _turn_before(self, end: float) -> AsyncGenerator[None, None]:
        """One of the connections is the caller's; raises TimeoutError if none is free by *end*."""
        with anyio.fail_after(end - anyio.current_time()):
            await self._turn.acquire()
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
            if self._closed:
                raise LedgerError(self.address, "it was closed; make a new ledger")
            yield
        finally:
            self._turn.release()

    async def _evaluate(self, key: str, argument: str) -> list[str]:
        from redis.exceptions import NoScriptError

        try:
            return await self._client.evalsha(self._sha, 1, key, argument)
        except NoScriptError:  # a new server, or one that forgot it; now it remembers
            return await self._client.eval(self._script, 1, key, argument)

    def _reason(self, error: Exception, key: str) -> str | None:
        """What went wrong and what to do; None: it is not the server's doing."""
        from redis import exceptions as of

        said = str(error)
        for secret in self._secrets:
            said = said.replace(secret, "…")
        reason: str | None = None
        match error:
            case of.AuthenticationError() | of.NoPermissionError():
                reason = f"the login was refused ({said}); check user and password in the address"
            case of.TimeoutError() | TimeoutError():
                reason = f"no answer within {_TIMEOUT:g} s; see whether the server is well"
            case of.ReadOnlyError():
                reason = "this server is a read-only replica; use the address of its primary"
            case of.ConnectionError() | OSError():
                reason = f"cannot be reached ({said}); start the server, or correct the address"
            case of.ResponseError() if "WRONGTYPE" in said:
                reason = foreign(key)
            case of.RedisError():
                reason = f"the server refused: {said}"
            case _:
                pass
        return reason


def foreign(key: str) -> str:
    """What to do about a *key* that is somebody else's."""
    return f"{key} holds something that leyline did not write; delete it, or use another database"


def _without_login(url: str) -> tuple[str, tuple[str, ...]]:
    """*url* without login and options, and the passwords that stood in it."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in _SCHEMES)
        raise LedgerError("Redis", f"the address must begin with one of {known}")
    try:
        parts = urlsplit(url)
        readable = parts.port != 0 and not parts.fragment and "@" not in parts.path + parts.query
        password = parts.password or ""
        options = [option.partition("=") for option in parts.query.split("&")]
    except ValueError:  # its message may quote the password
        readable, password, options = False, "", []
    if not readable:
        reason = "the address cannot be read; write / : # ? @ in a password as %2F %3A %23 %3F %40"
        raise LedgerError(f"{scheme}://…", reason)
    secrets = [password, *(value for name, _, value in options if "password" in name)]
    place = rest.partition("?")[0].rpartition("@")[2]
    forms = {form for secret in secrets for form in (secret, unquote(secret)) if form}
    return f"{scheme}://{place}", tuple(sorted(forms, key=len, reverse=True))


def _client(url: str, address: str) -> _Client:
    try:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        reason = "needs redis-py, which is not installed: pip install 'leyline-registry[redis]'"
        raise LedgerError(address, reason) from None
    scheme, _, rest = url.partition("://")
    try:
        client = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  # untyped there
            f"{_SCHEMES[scheme]}://{rest}",
            protocol=2,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),  # a booking that is sent twice counts twice
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
        )
    except (ValueError, TypeError):  # its message may quote the password
        reason = "the address cannot be read; see its database number and its options after the ?"
        raise LedgerError(address, reason) from None
    return cast("_Client", client)
