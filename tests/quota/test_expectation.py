"""What is reserved follows what is reported."""

from hypothesis import given
from hypothesis import strategies as st

from leyline.limits import Weight
from leyline.quota.expectation import Expectation


def test_before_any_report_the_estimate_is_taken_and_an_answer_expected():
    weight = Expectation().weight(100)
    assert (weight.requests, weight.input_tokens, weight.output_tokens) == (1, 100, 500)


def test_after_many_reports_what_they_say_is_expected():
    expectation = Expectation()
    for _ in range(100):
        expectation.learn(100, Weight(requests=1, input_tokens=900, output_tokens=20))
    weight = expectation.weight(200)
    assert 1750 <= weight.input_tokens <= 1801
    assert 20 <= weight.output_tokens <= 30


def test_more_requests_than_expected_are_believed_at_once_and_forgotten_slowly():
    expectation = Expectation()
    expectation.learn(10, Weight(requests=3))
    assert expectation.weight(10).requests == 3
    for _ in range(100):
        expectation.learn(10, Weight(requests=1))
    assert expectation.weight(10).requests in (1, 2)


REPORTS = st.tuples(
    st.integers(0, 10**6),
    st.builds(
        Weight,
        requests=st.integers(0, 50),
        input_tokens=st.integers(0, 10**7),
        output_tokens=st.integers(0, 10**6),
    ),
)


@given(st.lists(REPORTS, max_size=30), st.integers(0, 10**6))
def test_no_report_makes_the_expectation_senseless(reports: list, estimated: int):
    expectation = Expectation()
    for report in reports:
        expectation.learn(*report)
    weight = expectation.weight(estimated)
    assert 0 <= weight.requests <= 50
    assert weight.input_tokens <= 50 * estimated + 1
    assert 0 <= weight.output_tokens <= 10**6
