"""The kill ladder, decided without a process."""

from signal import SIGKILL, SIGTERM

from leyline.process.ladder import KILL_LIMIT, KillLadder


def test_asks_once_waits_the_grace_then_kills_until_nothing_is_left():
    ladder = KillLadder(grace=2.0)
    steps = [ladder.step(now, alive=True) for now in (10.0, 10.1, 11.99, 12.0, 12.1)]
    assert steps == [SIGTERM, None, None, SIGKILL, SIGKILL]
    assert ladder.step(12.2, alive=False) is None


def test_no_grace_kills_at_once():
    assert KillLadder(grace=0.0).step(5.0, alive=True) is SIGKILL


def test_nothing_alive_is_not_signalled():
    assert KillLadder(grace=1.0).step(5.0, alive=False) is None


def test_what_is_killed_late_is_given_up_no_sooner():
    """The event loop may have been held up past the end of the grace."""
    ladder = KillLadder(grace=1.0)
    ladder.step(0.0, alive=True)
    assert ladder.step(100.0, alive=True) is SIGKILL
    assert not ladder.gave_up(100.0 + KILL_LIMIT - 0.01)
    assert ladder.gave_up(100.0 + KILL_LIMIT)


def test_what_cannot_be_killed_is_given_up():
    ladder = KillLadder(grace=1.0)
    ladder.step(0.0, alive=True)
    assert not ladder.gave_up(1.0 + KILL_LIMIT - 0.01)
    assert ladder.gave_up(1.0 + KILL_LIMIT)
