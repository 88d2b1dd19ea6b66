"""``python -m benchmarks process [--runs N] [--at-a-time N] [--repeats N]``,
``python -m benchmarks quota [--seconds S]``, or
``python -m benchmarks map [--items N]``."""

import argparse

from benchmarks import map as mapping
from benchmarks import process, quota


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("room", choices=["process", "quota", "map"])
    parser.add_argument("--runs", type=int, default=1000, help="runs a round")
    parser.add_argument("--at-a-time", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of every contender, in turn")
    parser.add_argument("--seconds", type=float, default=30.0, help="of every quota contender")
    parser.add_argument("--items", type=int, default=100_000, help="prompts to be mapped")
    arguments = parser.parse_args()
    if arguments.room == "process":
        process.main(arguments.runs, arguments.at_a_time, arguments.repeats)
    elif arguments.room == "map":
        mapping.main(arguments.items)
    else:
        quota.main(arguments.seconds)


if __name__ == "__main__":
    main()
