"""``python -m benchmarks process [--runs N] [--at-a-time N] [--repeats N]``,
``python -m benchmarks quota [--seconds S]``,
``python -m benchmarks map [--items N]``, or
``python -m benchmarks calls race [--runs N] [--repeats N]``; also several rooms in one run."""

import argparse
from collections.abc import Callable

from benchmarks import calls, process, quota, race
from benchmarks import map as mapping


def main() -> None:
    """Run benchmarks and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("rooms", nargs="+", choices=["process", "quota", "map", "calls", "race"])
    parser.add_argument("--runs", type=int, default=1000, help="runs a round")
    parser.add_argument("--at-a-time", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of every contender, in turn")
    parser.add_argument("--seconds", type=float, default=30.0, help="of every quota contender")
    parser.add_argument("--items", type=int, default=100_000, help="prompts to be mapped")
    arguments = parser.parse_args()
    rooms: dict[str, Callable[[], None]] = {
        "process": lambda: process.main(arguments.runs, arguments.at_a_time, arguments.repeats),
        "quota": lambda: quota.main(arguments.seconds),
        "map": lambda: mapping.main(arguments.items),
        "calls": lambda: calls.main(arguments.runs, arguments.repeats),
        "race": lambda: race.main(arguments.runs, arguments.repeats),
    }
    for room in arguments.rooms:
        rooms[room]()


if __name__ == "__main__":
    main()
