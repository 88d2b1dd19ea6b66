"""Ways to hold a quota of *amount* starts in *per* seconds, each as one ``acquire``."""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen

from leyline.clock import SYSTEM_CLOCK
from leyline.limits import Limit, Measure, Weight
from leyline.quota import Admission, Store

Acquire = Callable[[], Awaitable[None]]
Prepare = Callable[[int, int, str], Awaitable[Acquire]]
"""amount, whole seconds, place (a folder; the URL of a Redis server) -> acquire."""


@frozen
class Contender:
    """shared: Whether several processes can hold one quota with it. redis: Whether it needs one."""

    name: str
    prepare: Prepare
    shared: bool = False
    redis: bool = False


def _leyline(state: Callable[[str], str]) -> Prepare:
    async def prepare(amount: int, per: int, place: str) -> Acquire:
        limit = Limit(name="starts", measure=Measure.REQUESTS, amount=amount, per=float(per))
        store = Store.at(state(place), SYSTEM_CLOCK)
        admission = Admission("bench", (limit,), store, SYSTEM_CLOCK)

        async def acquire() -> None:
            grant = await admission.admit(Weight(), deadline=None)
            await admission.settle(grant.booking, Weight())

        return acquire

    return prepare


async def _aiolimiter(amount: int, per: int, place: str) -> Acquire:
    from aiolimiter import AsyncLimiter

    return AsyncLimiter(amount, per).acquire


def _pyrate(kind: str) -> Prepare:
    async def prepare(amount: int, per: int, place: str) -> Acquire:
        from pyrate_limiter import InMemoryBucket, Limiter, Rate, RedisBucket, SQLiteBucket

        rates = [Rate(amount, per * 1000)]
        bucket: InMemoryBucket | SQLiteBucket | RedisBucket
        if kind == "memory":
            bucket = InMemoryBucket(rates)
        elif kind == "SQLite":
            bucket = SQLiteBucket.init_from_file(
                rates, db_path=str(Path(place, "pyrate.db")), use_file_lock=True
            )
        else:
            from redis.asyncio import Redis

            bucket = await RedisBucket.init(rates, Redis.from_url(place), "pyrate")
        limiter = Limiter(bucket)

        async def acquire() -> None:
            while not await limiter.try_acquire_async("bench"):
                await asyncio.sleep(0.002)

        return acquire

    return prepare


def _limits(kind: str) -> Prepare:
    async def prepare(amount: int, per: int, place: str) -> Acquire:
        from limits import RateLimitItemPerSecond
        from limits.aio.storage import MemoryStorage, RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        storage = (
            MemoryStorage()
            if kind == "memory"
            else RedisStorage(f"async+{place}", implementation="redispy")
        )
        limiter = MovingWindowRateLimiter(storage)
        item = RateLimitItemPerSecond(amount, per)

        async def acquire() -> None:
            while not await limiter.hit(item, "bench"):
                await asyncio.sleep(0.002)

        return acquire

    return prepare


def contenders() -> list[Contender]:
    """Those that are installed."""
    found = [
        Contender("leyline, memory", _leyline(lambda _: ":memory:")),
        Contender("leyline, SQLite", _leyline(lambda place: f"{place}/quota.db"), shared=True),
        Contender("leyline, Redis", _leyline(lambda place: place), shared=True, redis=True),
        Contender("aiolimiter", _aiolimiter),
    ]
    if importlib.util.find_spec("pyrate_limiter"):
        found += [
            Contender("pyrate-limiter, memory", _pyrate("memory")),
            Contender("pyrate-limiter, SQLite", _pyrate("SQLite"), shared=True),
            Contender("pyrate-limiter, Redis", _pyrate("Redis"), shared=True, redis=True),
        ]
    if importlib.util.find_spec("limits"):
        found += [
            Contender("limits, memory", _limits("memory")),
            Contender("limits, Redis", _limits("Redis"), shared=True, redis=True),
        ]
    return found
