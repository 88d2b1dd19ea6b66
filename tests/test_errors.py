"""Errors carry data, pickle, and say what to do."""

import pickle

import pytest

from leyline import errors
from leyline.model import REMEDIES, ExecutionResult, Failure, FailureKind

FAILED = ExecutionResult(
    service="a", failure=Failure(kind=FailureKind.AUTH, message="key not valid")
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.ConfigError(("a.b: wrong",), "f.yaml"), "f.yaml: a.b: wrong"),
        (errors.ConfigError(("a: x", "b: y")), "2 problems:\n  a: x\n  b: y"),
        (errors.ConfigError(("a: x", "b: y"), "f.yaml"), "f.yaml: 2 problems:\n  a: x"),
        (errors.ServiceExistsError("a"), 'service "a" is registered already'),
        (errors.ServiceNotFoundError("gemni", ("gemini",)), 'did you mean "gemini"?'),
        (errors.ServiceNotFoundError("x", ("gemini",)), "known: gemini"),
        (errors.ServiceNotFoundError("x"), "none is registered yet"),
        (errors.RegistryClosedError(), "closed"),
        (errors.RegistryClosedError("the registry is not open"), "is not open"),
        (errors.InvalidCallError("a", "the prompt is empty"), "a: the prompt is empty"),
        (errors.PromptTooLargeError("a", "too long"), "a: too long"),
        (errors.CommandNotFoundError("a", "not found"), "a: not found"),
        (errors.SpawnError("a", "no memory", 3.0), "a: no memory"),
        (errors.QuotaExceededError("a", "60 of 60", 3.0, "rpm", 60, 60), "a: 60 of 60"),
        (errors.LedgerError("q.db", "is full"), "quotas in q.db: is full"),
        (errors.UsageStoreError("u.db", "is full"), "usage in u.db: is full"),
        (errors.AllServicesFailedError(), "no service could be tried"),
        (
            errors.AllServicesFailedError((FAILED,), retry_after=12.34),
            "a: auth: key not valid\nthe first has room again in 12.3 s; come back then",
        ),
        (
            errors.AllServicesFailedError((FAILED, errors.SpawnError("b", "no memory"))),
            "all 2 services failed:\n  a: auth: key not valid\n  b: no memory",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_says_what_and_survives_a_pickle(error: Exception, text: str):
    assert text in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert repr(vars(copy)) == repr(vars(error))


def test_every_kind_of_failure_has_a_remedy():
    assert set(REMEDIES) == set(FailureKind)
