"""One check of one service: what is run, and what is made of it."""

from pathlib import Path

import anyio
import pytest

from leyline.config import ServiceConfig
from leyline.errors import (
    CommandNotFoundError,
    InvalidCallError,
    RegistryClosedError,
    SpawnError,
)
from leyline.health import probe
from leyline.health.diagnosis import CHECK_SECONDS, Findings, diagnose
from leyline.model import (
    Completed,
    ExecutionResult,
    Failure,
    FailureKind,
    HealthReport,
    HealthStatus,
    StopReason,
)
from leyline.wording import STATUS_LOST
from tests.virtual import EPOCH, VIRTUAL_BACKEND, VIRTUAL_CLOCK

KEY = "sk-a+secret/value"
FULL = SpawnError("svc", "too many open files in this process (see ulimit -n)")
ANSWER = ExecutionResult(success=True, text="ok")


def ended(exit_code: int = 0, stdout: str = "", stderr: str = "") -> Completed:
    return Completed(exit_code=exit_code, stdout=stdout.encode(), stderr=stderr.encode())


def stopped(reason: StopReason) -> Completed:
    return Completed(exit_code=None, stdout=b"", stderr=b"", stopped=reason)


def failed(kind: FailureKind) -> ExecutionResult:
    return ExecutionResult(failure=Failure(kind=kind, message="words"))


def config(command: str = "tool", **fields) -> ServiceConfig:
    return ServiceConfig("svc", command, **fields)


KEYED = config(auth_method="api_key", auth_env_var="MY_KEY")


def judge(settings: ServiceConfig | None = None, **found) -> HealthReport:
    return diagnose(settings or config(), Findings(**found), secret=KEY)


class TestDecision:
    """What is made of what was found."""

    def test_with_nothing_to_check_it_is_enough_to_be_there(self):
        report = judge()
        assert (report.status, report.installed) == (HealthStatus.HEALTHY, True)
        assert (report.authenticated, report.live, report.reason) == (None, None, "")

    def test_a_missing_command_is_unhealthy_and_says_what_to_do(self):
        report = judge(missing=CommandNotFoundError("svc", "not found on PATH; install it"))
        assert (report.status, report.installed) == (HealthStatus.UNHEALTHY, False)
        assert report.reason == "not found on PATH; install it"

    @pytest.mark.parametrize(
        ("exit_code", "status"),
        [
            (0, HealthStatus.HEALTHY),
            (1, HealthStatus.DEGRADED),
            (2, HealthStatus.UNHEALTHY),
            (127, HealthStatus.UNHEALTHY),
            (-9, HealthStatus.UNHEALTHY),
        ],
    )
    def test_the_users_own_check_passes_warns_or_is_critical(self, exit_code, status):
        report = judge(custom=ended(exit_code, stdout="all that it says"))
        assert report.status is status
        assert report.installed is True
        assert report.reason == {
            0: "",
            -9: "health_check_cmd was ended by signal 9: all that it says",
        }.get(exit_code, f"health_check_cmd exited with {exit_code}: all that it says")

    def test_what_a_check_said_last_is_the_reason(self):
        report = judge(custom=ended(2, "noise", "Traceback\n" + "x" * 500 + "\nlast words\n"))
        assert report.reason.startswith("health_check_cmd exited with 2: …")
        assert report.reason.endswith(" last words")
        assert len(report.reason) <= 300

    @pytest.mark.parametrize("tier", ["custom", "version", "login"])
    def test_a_check_that_hangs_speaks_against_the_service(self, tier):
        report = judge(**{tier: stopped(StopReason.TIMEOUT)})
        assert (report.status, report.installed) == (HealthStatus.UNHEALTHY, True)
        assert report.authenticated is None
        assert f"did not answer within {CHECK_SECONDS:g} s" in report.reason

    @pytest.mark.parametrize("tier", ["custom", "version", "login", "live"])
    def test_what_leyline_could_not_start_does_not_speak_against_the_service(self, tier):
        report = judge(**{tier: FULL})
        assert (report.status, report.installed) == (HealthStatus.UNKNOWN, True)
        assert FULL.reason in report.reason

    @pytest.mark.parametrize("reason", [StopReason.CLOSED, StopReason.OUTPUT_TOO_LARGE])
    @pytest.mark.parametrize("tier", ["custom", "version", "login"])
    def test_what_leyline_stopped_for_itself_does_not_speak_against_it(self, tier, reason):
        assert judge(**{tier: stopped(reason)}).status is HealthStatus.UNKNOWN

    @pytest.mark.parametrize("tier", ["custom", "version", "login"])
    def test_a_check_whose_exit_status_is_lost_says_nothing_of_the_service(self, tier):
        lost = Completed(exit_code=None, stdout=b"fine", stderr=b"")
        report = judge(KEYED, key_set=True, **{tier: lost})
        assert (report.status, report.authenticated) == (HealthStatus.UNKNOWN, True)
        assert STATUS_LOST in report.reason
        assert report.version == ""

    def test_a_check_whose_own_program_is_missing_says_nothing_of_the_service(self):
        report = judge(custom=CommandNotFoundError("svc", 'command "curl" was not found on PATH'))
        assert (report.status, report.installed) == (HealthStatus.UNKNOWN, True)
        assert report.reason.startswith('health_check_cmd could not be run: command "curl"')

    @pytest.mark.parametrize(
        ("stdout", "stderr", "version"),
        [
            ("\n\n tool 1.2.3 \nbuilt by x\n", "warning", "tool 1.2.3"),
            ("", "tool 1.2.3\n", "tool 1.2.3"),
            (" \n", "\x1b[1m1.2\x1b[0m", "1.2"),
            ("", "", ""),
            ("v" * 1000, "", "v" * 99 + "…"),
        ],
    )
    def test_the_version_is_the_first_line_that_is_not_blank(self, stdout, stderr, version):
        report = judge(version=ended(0, stdout, stderr))
        assert (report.status, report.version) == (HealthStatus.HEALTHY, version)

    def test_a_version_that_cannot_be_read_degrades_only(self):
        report = judge(version=ended(3, "usage: tool", "no such option"))
        assert (report.status, report.version) == (HealthStatus.DEGRADED, "")
        assert report.reason == "version_cmd exited with 3: no such option"

    def test_a_key_that_is_set_is_a_login(self):
        report = judge(KEYED, key_set=True)
        assert (report.status, report.authenticated) == (HealthStatus.HEALTHY, True)

    def test_a_missing_key_degrades_and_names_the_variable(self):
        report = judge(KEYED, key_set=False)
        assert (report.status, report.authenticated) == (HealthStatus.DEGRADED, False)
        assert report.reason == "MY_KEY is not set; set it, or log in with tool"

    @pytest.mark.parametrize("key_set", [None, True, False])
    def test_where_the_tool_says_that_it_is_logged_in_it_is(self, key_set):
        report = judge(KEYED, key_set=key_set, login=ended(0))
        assert (report.status, report.authenticated) == (HealthStatus.HEALTHY, True)

    def test_where_the_tool_says_that_it_is_not_it_is_unhealthy_and_says_what_to_do(self):
        report = judge(login=ended(1, stderr="Not logged in"))
        assert (report.status, report.authenticated) == (HealthStatus.UNHEALTHY, False)
        assert report.reason == (
            "not logged in; log in with tool (auth_check_cmd exited with 1: Not logged in)"
        )
        assert "tool, or set MY_KEY" in judge(KEYED, key_set=False, login=ended(1)).reason

    def test_a_key_that_the_tools_own_command_does_not_know_of_is_not_nothing(self):
        report = judge(KEYED, key_set=True, login=ended(1))
        assert (report.status, report.authenticated) == (HealthStatus.DEGRADED, False)

    def test_an_auth_check_that_crashes_does_not_say_that_nobody_is_logged_in(self):
        report = judge(login=ended(-11))
        assert (report.status, report.authenticated) == (HealthStatus.DEGRADED, None)
        assert report.reason == "auth_check_cmd was ended by signal 11"

    def test_an_answer_outweighs_every_hint_that_there_would_be_none(self):
        report = judge(KEYED, key_set=False, version=ended(1), live=ANSWER)
        assert (report.status, report.reason) == (HealthStatus.HEALTHY, "")
        assert (report.authenticated, report.live) == (True, True)

    def test_an_answer_does_not_outweigh_the_users_own_warning(self):
        report = judge(custom=ended(1, "disk is filling up"), live=ANSWER)
        assert (report.status, report.live) == (HealthStatus.DEGRADED, True)
        assert "disk is filling up" in report.reason

    @pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED])
    def test_a_rate_limited_answer_is_degraded_not_down(self, kind):
        report = judge(live=failed(kind))
        assert (report.status, report.live) == (HealthStatus.DEGRADED, False)
        assert report.reason == f"{kind}: words"

    @pytest.mark.parametrize(
        "kind", [FailureKind.SERVER, FailureKind.TIMEOUT, FailureKind.EMPTY, FailureKind.CRASHED]
    )
    def test_a_prompt_that_is_not_answered_is_unhealthy(self, kind):
        report = judge(KEYED, key_set=True, live=failed(kind))
        assert (report.status, report.live) == (HealthStatus.UNHEALTHY, False)
        assert report.authenticated is True

    def test_a_key_that_is_refused_is_no_login(self):
        report = judge(KEYED, key_set=True, live=failed(FailureKind.AUTH))
        assert (report.status, report.authenticated) == (HealthStatus.UNHEALTHY, False)

    def test_a_prompt_that_leyline_cancelled_says_nothing(self):
        report = judge(live=failed(FailureKind.CANCELLED))
        assert (report.status, report.live) == (HealthStatus.UNKNOWN, None)

    def test_the_worst_finding_decides_and_the_rest_is_still_told(self):
        report = judge(
            KEYED, key_set=False, custom=ended(2, "down"), version=ended(0, "1.0"), login=FULL
        )
        assert report.status is HealthStatus.UNHEALTHY
        assert report.reason == "health_check_cmd exited with 2: down"
        assert report.version == "1.0"

    @pytest.mark.parametrize("tier", ["custom", "version", "login"])
    @pytest.mark.parametrize("exit_code", [0, 1, 2])
    @pytest.mark.parametrize(
        "text", [KEY, f"{KEY} " * 200, "x" * 290 + KEY, "sk-a%2Bsecret%2Fvalue"]
    )
    def test_the_key_never_reaches_a_report(self, tier, exit_code, text):
        for streams in ({"stdout": text}, {"stderr": text}):
            report = judge(KEYED, **{tier: ended(exit_code, **streams)})
            assert "secret" not in repr(report)


class Runs:
    """Stands for the process room: takes ten seconds, answers by program, remembers."""

    def __init__(self, **answers: Completed | Exception) -> None:
        self.started: list[tuple[str, ...]] = []
        self.timeouts: set[float] = set()
        self.cancelled = 0
        self._answers = answers

    async def __call__(self, argv: tuple[str, ...], /, *, timeout: float) -> Completed:
        self.started.append(argv)
        self.timeouts.add(timeout)
        try:
            await anyio.sleep(10.0)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        answer = self._answers.get(argv[1], ended())
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.anyio
class TestProbe:
    """What is run, and how."""

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, object]]:
        return VIRTUAL_BACKEND

    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """An environment in which ``tool`` is installed."""
        program = tmp_path / "tool"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return {"PATH": str(tmp_path)}

    async def check(self, settings, run, environ, live=None) -> HealthReport:
        return await probe(settings, run, environ=environ, live=live, clock=VIRTUAL_CLOCK)

    async def test_a_command_that_is_not_there_is_unhealthy_and_nothing_is_run(self, environ):
        run = Runs()
        settings = config("no-such-tool", health_check_cmd="true x", auth_check_cmd="true x")
        report = await self.check(settings, run, environ)
        assert (report.status, report.installed) == (HealthStatus.UNHEALTHY, False)
        assert 'command "no-such-tool" was not found on PATH; install it' in report.reason
        assert run.started == []

    async def test_with_no_commands_named_nothing_is_run(self, environ):
        run = Runs()
        report = await self.check(config(), run, environ)
        assert (report.status, report.installed) == (HealthStatus.HEALTHY, True)
        assert (report.service, run.started) == ("svc", [])

    async def test_the_path_of_the_service_itself_counts(self, environ):
        settings = config(env={"PATH": environ["PATH"]})
        assert await self.check(settings, Runs(), {"PATH": "/nowhere"})
        assert not await self.check(config(), Runs(), {"PATH": "/nowhere"})

    async def test_version_and_login_are_asked_at_the_same_time(self, environ):
        run = Runs(version=ended(0, "tool 2.0\n"))
        settings = config(version_cmd="{command} version", auth_check_cmd="{command} login status")
        report = await self.check(settings, run, environ)
        assert sorted(run.started) == [("tool", "login", "status"), ("tool", "version")]
        assert run.timeouts == {CHECK_SECONDS}
        assert (report.version, report.authenticated) == ("tool 2.0", True)
        assert report.duration == pytest.approx(10.0)
        assert report.checked_at == pytest.approx(EPOCH + 10.0)

    async def test_the_users_own_check_takes_the_place_of_the_version(self, environ):
        run = Runs()
        settings = config(health_check_cmd="tool ping", version_cmd="tool version")
        await self.check(settings, run, environ)
        assert run.started == [("tool", "ping")]

    async def test_a_command_line_is_split_once_and_never_read_by_a_shell(self, environ):
        run = Runs()
        line = "{command} 'two words' $(id); \"it's\""
        await self.check(config("tool", health_check_cmd=line), run, environ)
        assert run.started == [("tool", "two words", "$(id);", "it's")]

    @pytest.mark.parametrize(
        ("method", "value", "authenticated"),
        [
            ("api_key", "a-key", True),
            ("token", "a-key", True),
            ("api_key", None, False),
            ("api_key", " \n", False),
            ("oauth", "a-key", None),
            ("none", None, None),
        ],
    )
    async def test_a_key_counts_where_the_service_uses_one(
        self, environ, method, value, authenticated
    ):
        if value is not None:
            environ["MY_KEY"] = value
        settings = config(auth_method=method, auth_env_var="MY_KEY")
        report = await self.check(settings, Runs(), environ)
        assert report.authenticated is authenticated

    async def test_a_method_without_a_variable_has_nothing_to_look_at(self, environ):
        report = await self.check(config(auth_method="api_key"), Runs(), environ)
        assert (report.status, report.authenticated) == (HealthStatus.HEALTHY, None)

    async def test_a_key_among_the_services_own_variables_counts(self, environ):
        settings = config(auth_method="token", auth_env_var="MY_KEY", env={"MY_KEY": "a-key"})
        assert (await self.check(settings, Runs(), environ)).authenticated is True

    @pytest.mark.parametrize("method", ["api_key", "oauth", "none"])
    async def test_the_key_never_reaches_a_report_whatever_the_method(self, environ, method):
        environ["MY_KEY"] = f" {KEY}\n"
        settings = config(auth_method=method, auth_env_var="MY_KEY", version_cmd="tool version")
        report = await self.check(settings, Runs(version=ended(0, f"1.0 ({KEY})")), environ)
        assert report.version == "1.0 ([redacted])"

    async def test_a_command_that_is_there_but_cannot_be_executed_is_not_installed(self, environ):
        run = Runs(version=CommandNotFoundError("svc", "needs an interpreter"))
        settings = config(version_cmd="tool version", auth_check_cmd="tool login")
        report = await self.check(settings, run, environ)
        assert (report.status, report.installed) == (HealthStatus.UNHEALTHY, False)
        assert report.reason == "needs an interpreter"

    async def test_the_program_of_a_check_is_not_the_service(self, environ):
        run = Runs(url=CommandNotFoundError("svc", 'command "curl" was not found'))
        report = await self.check(config("tool", health_check_cmd="curl url"), run, environ)
        assert (report.status, report.installed) == (HealthStatus.UNKNOWN, True)

    async def test_our_own_lack_of_descriptors_is_not_the_services_fault(self, environ):
        report = await self.check(config(version_cmd="tool v"), Runs(v=FULL), environ)
        assert (report.status, report.reason) == (
            HealthStatus.UNKNOWN,
            f"version_cmd could not be run: {FULL.reason}",
        )

    @pytest.mark.parametrize("error", [RegistryClosedError(), ZeroDivisionError()])
    async def test_what_is_no_finding_is_raised_as_itself(self, environ, error):
        settings = config(version_cmd="tool v", auth_check_cmd="tool login")
        with pytest.raises(type(error)):
            await self.check(settings, Runs(v=error), environ)

    async def test_cancelling_cancels_what_runs(self, environ):
        run = Runs()
        settings = config(version_cmd="tool v", auth_check_cmd="tool login")
        with anyio.move_on_after(1.0) as scope:
            await self.check(settings, run, environ)
        assert scope.cancelled_caught
        assert run.cancelled == 2

    async def test_a_real_prompt_is_sent_only_on_request_and_last(self, environ):
        order: list[str] = []

        async def live() -> ExecutionResult:
            order.append(f"asked at {anyio.current_time():g}")
            return ANSWER

        settings = config(version_cmd="tool version")
        assert (await self.check(settings, Runs(), environ)).live is None
        report = await self.check(settings, Runs(), environ, live)
        assert (report.live, report.authenticated) == (True, True)
        assert order == ["asked at 20"]

    @pytest.mark.parametrize(
        "found",
        [
            {"command": "no-such-tool"},
            {"health_check_cmd": "tool bad"},
            {"auth_check_cmd": "tool bad"},
        ],
        ids=["not installed", "critical", "not logged in"],
    )
    async def test_no_prompt_is_spent_on_what_is_known_not_to_work(self, environ, found):
        async def live() -> ExecutionResult:
            raise AssertionError("a prompt was sent")

        report = await self.check(config(**found), Runs(bad=ended(2)), environ, live)
        assert (bool(report), report.live) == (False, None)

    @pytest.mark.parametrize("error", [FULL, InvalidCallError("svc", "the folder is gone")])
    async def test_a_prompt_that_could_not_be_sent_says_nothing(self, environ, error):
        async def live() -> ExecutionResult:
            raise error

        report = await self.check(config(), Runs(), environ, live)
        assert (report.status, report.live) == (HealthStatus.UNKNOWN, None)
        assert report.reason == f"no prompt could be sent: {error.reason}"

    async def test_a_prompt_for_which_no_program_is_found_is_not_installed(self, environ):
        async def live() -> ExecutionResult:
            raise CommandNotFoundError("svc", "not found on PATH")

        report = await self.check(config(), Runs(), environ, live)
        assert (report.status, report.installed) == (HealthStatus.UNHEALTHY, False)
