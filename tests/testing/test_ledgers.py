"""The public suite of a ledger: it runs in anybody's project, and sees what is broken."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import leyline
from leyline.testing.ledgers import UnsharedLedgerConformance
from tests.testing import broken_balances, broken_bookings, broken_confirmations
from tests.testing.sound_ledger import Sound

ROOT = Path(__file__).parents[2]

BROKEN = [
    kind
    for module in (broken_bookings, broken_confirmations, broken_balances)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Sound) and kind.caught_by
]
KINDS = [Sound, *BROKEN]

ON_BROKEN_LEDGERS = """
from tests.testing.sound_ledger import conformance_of
from tests.testing.test_ledgers import KINDS

globals().update({f"Test{kind.__name__}": conformance_of(kind) for kind in KINDS})
"""

OWN_PROJECT = """
import pytest
from leyline.quota import MemoryLedger
from leyline.testing.ledgers import OpenLedger, UnsharedLedgerConformance


class TestMemoryLedger(UnsharedLedgerConformance):
    @pytest.fixture
    def open_ledger(self) -> OpenLedger:
        return MemoryLedger
"""

WITHOUT_A_LEDGER = """
from leyline.testing.ledgers import LedgerConformance


class TestNothing(LedgerConformance):
    pass
"""

Results = dict[str, str | None]
"""For each test of a class, what is wrong; None: it passed."""


def run(folder: Path, tests: str, *importable: Path) -> dict[str, Results]:
    """What came of each class of *tests*, the only file of a project in *folder*.

    importable: Folders of its other imports than leyline.
    """
    (folder / "test_own.py").write_text(tests)
    path = os.pathsep.join(map(str, (Path(leyline.__file__).parents[1], *importable)))
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--junitxml=report.xml"]
    done = subprocess.run(
        [*command, "--strict-markers", "--tb=short"],
        cwd=folder,
        env=plain | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    results: dict[str, Results] = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        bad = [found.text or "" for found in case if found.tag in {"failure", "error", "skipped"}]
        of_class = results.setdefault(case.attrib["classname"].rpartition(".")[2], {})
        of_class[case.attrib["name"]] = bad[0] if bad else None
    return results


def failed(of_class: Results) -> set[str]:
    return {name.partition("[")[0] for name, wrong in of_class.items() if wrong is not None}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    return run(tmp_path_factory.mktemp("broken"), ON_BROKEN_LEDGERS, ROOT)


def test_a_ledger_that_keeps_every_promise_passes(results: dict[str, Results]):
    assert results["TestSound"]
    assert failed(results["TestSound"]) == set()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_ledger_fails_where_it_is_broken(kind: type[Sound], results: dict[str, Results]):
    assert set(kind.caught_by) <= failed(results[f"Test{kind.__name__}"])


def test_every_demand_sees_something_that_is_broken(results: dict[str, Results]):
    demands = {name.partition("[")[0] for name in results["TestSound"]}
    assert demands == set().union(*(failed(of_class) for of_class in results.values()))


def test_a_failure_shows_what_was_compared(results: dict[str, Results]):
    wrong = results["TestRefundsNothing"]["test_a_refund_makes_room_at_once_and_only_once"]
    assert "assert (20, 20) == (19, 19)" in (wrong or "")


def test_the_ledger_in_memory_passes_in_a_project_of_somebody_else(tmp_path: Path):
    results = run(tmp_path, OWN_PROJECT)
    assert list(results) == ["TestMemoryLedger"]
    assert len(results["TestMemoryLedger"]) > 40
    assert failed(results["TestMemoryLedger"]) == set()


def test_what_is_demanded_of_a_shared_store_alone(results: dict[str, Results]):
    unshared = {name for name in dir(UnsharedLedgerConformance) if name.startswith("test_")}
    assert {name.partition("[")[0] for name in results["TestSound"]} - unshared == {
        "test_what_one_ledger_books_fills_the_windows_of_another",
        "test_a_booking_may_be_settled_by_another_ledger_once",
        "test_a_closure_holds_for_every_ledger",
        "test_what_was_booked_outlives_its_ledger",
        "test_a_closed_ledger_says_so",
    }


def test_who_opens_no_ledger_is_told_to(tmp_path: Path):
    results = run(tmp_path, WITHOUT_A_LEDGER)
    reasons = set(results["TestNothing"].values())
    assert all("define a fixture open_ledger" in (reason or "") for reason in reasons)


def test_importing_leyline_loads_no_tests():
    program = "import sys, leyline; print({'pytest', 'leyline.testing'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"
