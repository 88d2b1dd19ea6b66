"""A program that records usage: ``python -m tests.usage.recorder STORE HOW COUNT``.

HOW: ``exit`` records COUNT and ends without closing anything; ``acknowledge`` records and flushes
for ever, and says on standard output how many are safe; ``stream`` records a thousand a second, and
says when it recorded each.
"""

import sys
import time

import anyio

from leyline.usage import UsageLog, open_sink
from tests.usage.records import record


def leave(usage: UsageLog, count: int) -> None:
    for number in range(count):
        usage.record(record(call=f"{number}", at=time.time(), total_tokens=number, cost_usd=0.5))


async def acknowledge(usage: UsageLog) -> None:
    number = 0
    while True:
        for _ in range(number % 7 + 1):
            number += 1
            usage.record(record(call=f"{number}"))
        await usage.flush()
        print(number, flush=True)


def stream(usage: UsageLog) -> None:
    number = 0
    while True:
        number += 1
        usage.record(record(call=f"{number}"))
        sys.stdout.write(f"{number} {time.monotonic()}\n")
        sys.stdout.flush()
        time.sleep(0.001)


if __name__ == "__main__":
    where, how, how_many = sys.argv[1:]
    its_log = UsageLog(open_sink(where))
    if how == "exit":
        leave(its_log, int(how_many))
    elif how == "acknowledge":
        anyio.run(acknowledge, its_log)
    else:
        stream(its_log)
