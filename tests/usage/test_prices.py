"""Prices: of known models, by the token; what is unknown is unknown. Offline, always."""

import subprocess
import sys

import pytest
from attrs import evolve
from genai_prices import Usage, calc_price

from leyline.usage import estimate, price, price_per_million
from tests.usage.records import record


@pytest.mark.parametrize(
    ("model", "read", "cached", "written"),
    [
        ("gpt-5", 1000, 0, 100),
        ("gpt-5", 1000, 1000, 0),
        ("claude-sonnet-4-5", 5000, 100, 7),
        ("gemini-2.5-pro", 1000, 500, 100),
        ("gemini-2.5-pro", 200_000, 500, 100),
        ("gemini-2.5-pro", 200_001, 500, 100),  # past there, a token costs more
        ("deepseek-chat", 1000, 20, 10),
    ],
)
def test_a_price_is_that_of_the_list(model: str, read: int, cached: int, written: int):
    usage = Usage(input_tokens=read, cache_read_tokens=cached, output_tokens=written)
    listed = float(calc_price(usage, model).total_price)
    assert price(model, read, written, cached_tokens=cached) == pytest.approx(listed)


def test_tokens_of_many_requests_are_not_those_of_one_long_prompt():
    one = price("gemini-2.5-pro", 100_000, 0)
    assert one is not None
    assert price("gemini-2.5-pro", 1_000_000, 0, requests=10) == pytest.approx(10 * one)
    assert price("gemini-2.5-pro", 1_000_000, 0, requests=1) == pytest.approx(20 * one)


@pytest.mark.parametrize("model", [None, "", "no-such-model", "my/own/model"])
def test_an_unknown_price_is_unknown_and_not_zero(model: str | None):
    assert price(model, 1000, 1000) is None
    assert price_per_million(model) is None


def test_where_no_tokens_are_known_no_price_is():
    assert price("gpt-5", 0, 0) is None
    assert price("gpt-5", -1, 5) is None


def test_a_model_may_be_named_with_its_provider():
    assert price("anthropic/claude-sonnet-4-5", 10, 10) == price("claude-sonnet-4-5", 10, 10)


def test_the_price_of_a_million_is_mostly_that_of_prompts():
    read, written = price("gpt-5", 1000, 0), price("gpt-5", 0, 1000)
    assert read is not None
    assert written is not None
    assert price_per_million("gpt-5") == pytest.approx(1000 * (0.75 * read + 0.25 * written))


def test_a_record_is_estimated_by_its_tokens():
    given = record(
        model="gpt-5", input_tokens=1000, cached_tokens=10, output_tokens=5, measured=True
    )
    assert estimate(given) == price("gpt-5", 1000, 5, cached_tokens=10)
    assert estimate(evolve(given, measured=False)) is None


def test_nothing_is_loaded_before_it_is_asked_and_no_network_ever():
    program = """
import socket, sys, threading
import leyline.usage
assert "genai_prices" not in sys.modules and "sqlite3" not in sys.modules
def refuse(*_, **__): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
assert leyline.usage.price("gpt-5", 1000, 10) > 0
assert leyline.usage.price("no-such-model", 1000, 10) is None
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", program], check=True)
