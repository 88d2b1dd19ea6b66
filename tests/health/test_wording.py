"""Reasons are for people who know which service they asked for."""

from leyline.errors import InvalidCallError, RegistryClosedError, SpawnError
from leyline.health.wording import failure_reason, reason_of
from leyline.model import Failure, FailureKind


def test_a_reason_leaves_out_the_name_that_the_reader_knows():
    assert reason_of(SpawnError("svc", "too many\nopen files")) == "too many open files"
    assert reason_of(InvalidCallError("svc", "no prompt")) == "no prompt"
    assert reason_of(RegistryClosedError()) == str(RegistryClosedError())
    assert len(reason_of(SpawnError("svc", "x" * 1000))) == 300


def test_a_failure_says_its_kind_first():
    assert failure_reason(Failure(kind=FailureKind.AUTH, message="no\nkey")) == "auth: no key"
