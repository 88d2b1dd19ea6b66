"""One call on one service: checked, metered, run as a process, and its outcome read."""

import os
from collections.abc import Collection

from attrs import define, evolve

from leyline.calls import prompt as prompts
from leyline.calls.metering import Meter
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.errors import InvalidCallError
from leyline.events import Events
from leyline.model import Call, Command, Completed, ExecutionResult
from leyline.outcome import OutcomeReader
from leyline.process import MARKER, Lifespan, Runner, Workspace, child_environment
from leyline.program import find_program
from leyline.quota import Store
from leyline.template import CommandTemplate

_CHECK_OUTPUT_BYTES = 64 * 1024


@define(eq=False)
class Service:
    """A service made ready at its registration: nothing is parsed again when it is called.

    meter: Its quota. None as long as nothing limits it.
    """

    config: ServiceConfig
    template: CommandTemplate
    reader: OutcomeReader
    clock: Clock
    meter: Meter | None

    @classmethod
    def prepare(
        cls, config: ServiceConfig, store: Store, clock: Clock, events: Events
    ) -> "Service":
        """Make a resolved *config* ready; its quota is kept in *store*, which is not opened yet.

        Raises ConfigError if its template is wrong.
        """
        template = CommandTemplate.parse(config.command_template, file_args=config.file_args)
        meter = Meter.of(config, store, clock, events)
        return cls(config, template, OutcomeReader(config), clock, meter)

    async def execute(
        self,
        call: Call,
        lifespan: Lifespan,
        *,
        secret_variables: Collection[str],
        queued_at: float,
    ) -> ExecutionResult:
        """Run *call* in a process of its own and say what came of it.

        secret_variables: The variables that hold the keys of all registered services.
        queued_at: Unix time at which the caller asked.

        Cancellation: the process tree is stopped behind the caller.
        Raises InvalidCallError, CommandNotFoundError, SpawnError, QuotaExceededError or
        LedgerError where no process started.
        """
        config = self.config
        prompts.check(config, call, takes_files=self.template.takes_files)
        text = prompts.compose(config, call)
        # What the template has no place for, the tool never hears of.
        model = (call.model or config.default_model or None) if self.template.takes_model else None

        asked_at = self.clock.monotonic()

        async def start(held: tuple[int, ...]) -> ExecutionResult:
            runner = lifespan.runner
            workspace = runner.workspace()
            command = self._command(call, text, model, workspace, secret_variables)
            if held or call.deadline is not None:
                waited = self.clock.monotonic() - asked_at
                command = evolve(command, pass_fds=held, timeout=_time_left(call, waited))
            completed = await runner.run(config.name, workspace, command)
            return self._result(completed, text, model, secret_variables, queued_at)

        if self.meter is None:
            result = await start(())
        else:
            result = await self.meter.run(
                start,
                prompt_tokens=prompts.estimate(call),
                deadline=None if call.max_wait is None else asked_at + call.max_wait,
                priority=call.priority,
                group=lifespan.group,
            )
        if self.meter is None and Meter.limits_itself(result):
            self.meter = Meter.of_its_own_words(config, self.clock)
            await self.meter.throttle(result)
        return result

    async def run_check(
        self,
        argv: tuple[str, ...],
        runner: Runner,
        *,
        timeout: float,
        secret_variables: Collection[str],
    ) -> Completed:
        """Run a command of this service's health check, in the service's environment."""
        workspace = runner.workspace()
        environment = self._environment(workspace, secret_variables)
        program = find_program(self.config.name, argv[0], path=environment.get("PATH"))
        command = Command(
            argv=(program, *argv[1:]),
            env=environment,
            tmpdir=workspace.tmpdir,
            timeout=timeout,
            grace=min(self.config.grace_seconds, 1.0),
            max_output=_CHECK_OUTPUT_BYTES,
        )
        return await runner.run(self.config.name, workspace, command)

    def _command(
        self,
        call: Call,
        text: str,
        model: str | None,
        workspace: Workspace,
        secret_variables: Collection[str],
    ) -> Command:
        config = self.config
        environment = self._environment(workspace, secret_variables)
        encoded = _encode(config.name, text)
        argv = self.template.fill(
            config.name,
            command=config.command,
            prompt=text,
            files=call.files,
            model=model,
            tmpdir=workspace.tmpdir,
        )
        program = find_program(config.name, argv[0], path=environment.get("PATH"))
        return Command(
            argv=(program, *argv[1:]),
            stdin=b"" if self.template.takes_prompt else encoded,
            env=environment,
            tmpdir=workspace.tmpdir,
            cwd=call.cwd,
            timeout=call.timeout,
            grace=config.grace_seconds,
            max_output=config.max_output_bytes,
            read_files={
                name: path.replace("{tmpdir}", workspace.tmpdir)
                for name, path in config.output.files.items()
            },
        )

    def _environment(
        self, workspace: Workspace, secret_variables: Collection[str]
    ) -> dict[str, str]:
        own = self.config.auth_env_var
        return child_environment(
            os.environ,
            hidden={name for name in secret_variables if name != own} | set(self.config.unset_env),
            tmpdir=workspace.tmpdir,
            values={**self.config.env, MARKER: workspace.marker},
        )

    def _result(
        self,
        completed: Completed,
        prompt: str,
        model: str | None,
        secret_variables: Collection[str],
        queued_at: float,
    ) -> ExecutionResult:
        secrets = tuple(filter(None, map(os.environ.get, secret_variables)))
        outcome = self.reader.read(
            completed,
            prompt=prompt,
            model=model,
            now=completed.started_at + completed.duration,
            secrets=secrets,
        )
        return ExecutionResult(
            success=outcome.failure is None,
            stdout=outcome.stdout,
            stderr=outcome.stderr,
            exit_code=-1 if completed.exit_code is None else completed.exit_code,
            duration=completed.duration,
            tokens_used=outcome.usage.total_tokens,
            text=outcome.text,
            service=self.config.name,
            model=outcome.model,
            usage=outcome.usage,
            failure=outcome.failure,
            started_at=completed.started_at,
            queued=max(0.0, completed.started_at - queued_at),
            pid=completed.pid,
        )


def _time_left(call: Call, waited: float) -> float | None:
    """Seconds that the run may take: its own time-out, or less if the deadline is nearer."""
    if call.deadline is None:
        return call.timeout
    left = max(0.0, call.deadline - waited)
    return left if call.timeout is None else min(call.timeout, left)


def _encode(service: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCallError(
            service,
            f"the prompt has a lone surrogate at position {error.start}, which no encoding can "
            "carry; decode its source with errors='replace'",
        ) from None
