"""``leyline report``: one page, whole in itself; drawn by a real browser."""

import importlib.util
import json
import os
import re
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leyline.cli.charts import require_bokeh
from leyline.cli.exits import CommandLineError
from leyline.usage.sqlite import SqliteSink
from tests.cli.conftest import Machine
from tests.tools import require
from tests.usage.records import record

EVIL = '</script><img src="http://127.0.0.1:9/x">'
"""A name of a service that would break a careless page."""

LOOK = """<script>setTimeout(() => {
  const roots = [...document.querySelectorAll("[data-root-id]")];
  const deep = (node) => [...node.querySelectorAll("*")].flatMap(
    (e) => [e, ...(e.shadowRoot ? deep(e.shadowRoot) : [])]);
  const drawn = roots.map((r) => deep(r).filter((e) => e.tagName == "path").length);
  document.body.innerHTML = "<pre id=found>" + JSON.stringify(
    {drawn, images: document.images.length}) + "</pre>";
}, 3000)</script>"""


@pytest.fixture
def spent(machine: Machine) -> Machine:
    now = time.time()
    machine.configure("""
        services:
          one: {command: cat, command_template: "{command}", quota_limits: {rpm: 2, rpd: 50}}
          two: {command: cat, command_template: "{command}"}
        """)
    records = [
        record(at=now - 7200 + 60 * n, service=("one", "two", EVIL)[n % 3], model="gpt-5",
               input_tokens=1000, output_tokens=100, total_tokens=1100, measured=True,
               duration=1.0 + n % 5,
               cost_usd=0.01 if n % 2 else None)
        for n in range(90)
    ]  # fmt: skip
    records.append(record(at=now - 60, service="two", success=False, failure="timeout"))
    SqliteSink(machine.folder / "u.db").write(records)
    return machine


def written(machine: Machine, *arguments: str) -> str:
    done = machine.run("report", "-o", "r.html", "--file", "u.db", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "leyline: wrote r.html\n")
    return (machine.folder / "r.html").read_text()


class Outside(HTMLParser):
    """Finds what a browser would load, and the policy that says what it may."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.loads += [facts[name] or "" for name in ("src", "srcset", "data") if name in facts]
        if tag == "link":
            self.loads.append(facts["href"] or "")
        if facts.get("http-equiv") == "Content-Security-Policy":
            self.policy = facts["content"] or ""


def test_the_page_loads_nothing_and_forbids_it(spent: Machine):
    page = Outside()
    page.feed(written(spent))
    assert page.loads == ["data:,"]
    assert page.policy.startswith("default-src 'none'")
    assert "http" not in page.policy
    assert "*" not in page.policy


def test_the_page_has_the_sums_and_all_plots(spent: Machine):
    page = written(spent)
    for title in ("Use against quota", "Latency by service", "Failures by kind", "Cost by day"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data-root-id=") == 4
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    assert "<td>one</td><td>30</td><td>0</td><td>0</td><td>30,000</td><td>3,000</td>" in rows[2]
    assert "<td>all</td><td>91</td><td>1</td>" in rows[-1]
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    names = json.loads(data.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")
                       .replace("&#34;", '"').replace("&#39;", "'"))  # fmt: skip
    assert "one rpm" in json.dumps(names)
    assert "one rpd" in json.dumps(names)


def test_names_are_text_in_the_page_and_never_part_of_it(spent: Machine):
    assert EVIL not in written(spent)


def test_with_nothing_recorded_the_page_says_so(machine: Machine):
    SqliteSink(machine.folder / "u.db").write([record(at=1.0)])
    page = written(machine)
    for words in ("No service has a quota", "Nothing was answered", "Nothing went wrong",
                  "No cost is known"):  # fmt: skip
        assert words in page


@pytest.mark.parametrize("place", ["no/such/folder.html", "n" * 300, "."])
def test_a_place_that_cannot_be_written_is_a_message(spent: Machine, place: str):
    done = spent.run("report", "-o", place, "--file", "u.db")
    assert done.returncode == 1
    assert done.stderr.startswith(f"leyline: cannot write {place}: ")
    assert done.stderr.count("\n") == 1


def test_a_name_may_be_as_long_as_names_can_be_and_nothing_is_left_beside_it(machine: Machine):
    name = "n" * 255
    assert machine.run("report", "-o", name).returncode == 0
    assert os.listdir(machine.folder) == [name]


@pytest.mark.parametrize("since", ["900w", "0001-01-03"])
def test_with_nothing_recorded_any_time_of_the_calendar_will_do(machine: Machine, since: str):
    limits = "{rpm: 2, rpd: 50, reset: {zone: America/Los_Angeles}}"
    machine.configure(
        "services: {one: {command: cat, command_template: '{command}',"
        f" quota_limits: {limits}}}}}"
    )
    done = machine.run("report", "-o", "r.html", "--since", since, env={"TZ": "Asia/Tokyo"})
    assert (done.returncode, done.stderr) == (0, "leyline: wrote r.html\n")


def test_where_bokeh_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CommandLineError, match=r"leyline-registry\[report\]"):
        require_bokeh()


def browse(page: Path, folder: Path) -> tuple[str, list[str]]:
    """The document of *page* after some seconds in a real browser, and what its console said."""
    argv = [
        require("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-dev-shm-usage", "--enable-logging=stderr",
        f"--user-data-dir={folder}", "--virtual-time-budget=10000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=100, check=True, env={**os.environ}
    )
    return done.stdout, re.findall(r":CONSOLE[:(]\S* (.*)", done.stderr)


@pytest.mark.timeout(240)
def test_a_browser_draws_the_plots_without_an_error_or_a_request(spent: Machine, tmp_path: Path):
    page = spent.folder / "watched.html"
    page.write_text(written(spent).replace("</body>", f"{LOOK}</body>"))
    document, said = browse(page, tmp_path / "profile")
    match = re.search(r'<pre id="?found"?>(.*?)</pre>', document)
    assert match is not None, (document[-2000:], said)
    found = json.loads(match[1])
    assert len(found["drawn"]) == 4
    assert all(paths > 10 for paths in found["drawn"])
    assert found["images"] == 0
    # A request would be refused by the page's own policy, and the console would say so.
    assert [line for line in said if "[bokeh" not in line] == []


@pytest.mark.timeout(240)
def test_the_console_of_the_browser_would_tell_of_a_request(spent: Machine, tmp_path: Path):
    page = spent.folder / "curious.html"
    asks = '<img src="http://127.0.0.1:9/x">'
    page.write_text(written(spent).replace("</body>", f"{asks}</body>"))
    _, said = browse(page, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in said), said
