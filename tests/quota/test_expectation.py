"""What is reserved follows what is reported."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from leyline.limits import Limit, Measure, Weight, named_limit
from leyline.quota.expectation import Expectation


def test_before_any_report_the_estimate_is_taken_and_an_answer_expected():
    weight = Expectation().weight(100)
    assert (weight.requests, weight.input_tokens, weight.output_tokens) == (1, 100, 500)


def test_after_many_reports_what_they_say_is_expected():
    expectation = Expectation()
    for _ in range(100):
        expectation.learn(100, Weight(requests=1, input_tokens=900, output_tokens=20))
    weight = expectation.weight(100)
    assert 899 <= weight.input_tokens <= 901
    assert 20 <= weight.output_tokens <= 30


def test_what_a_tool_sends_along_is_expected_once_a_call_and_not_for_each_token():
    expectation = Expectation()
    for _ in range(30):
        expectation.learn(2, Weight(input_tokens=20_000))
    assert 29_900 <= expectation.weight(10_000).input_tokens <= 30_100


def test_how_far_estimates_lie_from_reports_is_learned_from_prompts_of_all_lengths():
    expectation, random = Expectation(), Random(1)
    for _ in range(300):
        estimated = random.randrange(100_000)
        expectation.learn(estimated, Weight(input_tokens=round(5000 + 1.3 * estimated)))
    for estimated in (0, 1000, 50_000, 200_000):
        expected = 5000 + 1.3 * estimated
        assert abs(expectation.weight(estimated).input_tokens - expected) < 100 + 0.02 * expected


LIMITS = (
    named_limit("rpm", 10),
    named_limit("tpm", 10_000),
    Limit(name="out", measure=Measure.OUTPUT_TOKENS, amount=400, per=60.0),
)


def test_what_is_learned_never_makes_a_call_too_large_to_start():
    expectation = Expectation()
    assert expectation.weight(10, LIMITS) == Weight(input_tokens=10, output_tokens=400)
    used = Weight(requests=12, input_tokens=20_000, output_tokens=9000)
    expectation.learn(10, used)
    for _ in range(50):
        expectation.learn(10, used)
    assert expectation.weight(10, LIMITS) == Weight(
        requests=10, input_tokens=10_000, output_tokens=0
    )
    assert expectation.weight(10_001, LIMITS).input_tokens == 10_001  # that is the prompt itself


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
    assert 0 <= weight.input_tokens <= 5 * estimated + 10**7 + 1
    assert 0 <= weight.output_tokens <= 10**6
