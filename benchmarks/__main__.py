"""``python -m benchmarks process [--runs N] [--at-a-time N] [--repeats N]``."""

import argparse

from benchmarks import process


def main() -> None:
    """Run one benchmark and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("room", choices=["process"])
    parser.add_argument("--runs", type=int, default=1000, help="runs a round")
    parser.add_argument("--at-a-time", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of every contender, in turn")
    arguments = parser.parse_args()
    process.main(arguments.runs, arguments.at_a_time, arguments.repeats)


if __name__ == "__main__":
    main()
