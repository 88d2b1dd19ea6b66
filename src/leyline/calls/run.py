"""The innermost step of a call: one process, and what came of it."""

import os
from collections.abc import Collection

from attrs import define

from leyline.calls.hearing import Hearing
from leyline.calls.job import Job
from leyline.clock import Clock
from leyline.config import ServiceConfig
from leyline.errors import InvalidCallError
from leyline.model import Command, Completed, ExecutionResult
from leyline.outcome import OutcomeReader
from leyline.process import MARKER, Runner, Workspace, child_environment
from leyline.program import find_program
from leyline.template import CommandTemplate

_CHECK_OUTPUT_BYTES = 64 * 1024


@define(eq=False)
class Run:
    """Runs the tool of one service."""

    config: ServiceConfig
    template: CommandTemplate
    reader: OutcomeReader
    clock: Clock
    _streamed: "Run | None" = None

    @classmethod
    def of(cls, config: ServiceConfig, clock: Clock) -> "Run":
        """Runs the tool as *config* says. Raises ConfigError if its template is wrong."""
        template = CommandTemplate.parse(config.command_template, file_args=config.file_args)
        return cls(config, template, OutcomeReader(config), clock)

    def streamed(self) -> "Run":
        """Runs the same tool so that its answer is seen growing."""
        if self._streamed is None:
            self._streamed = Run.of(self.config.streamed(), self.clock)
        return self._streamed

    async def __call__(self, job: Job, /) -> ExecutionResult:
        """Run *job* in a process of its own and say what came of it.

        Cancellation: the process tree is stopped behind the caller.
        Raises InvalidCallError, CommandNotFoundError or SpawnError where no process started.
        """
        return await (self if job.audience.hear is None else self.streamed()).run(job)

    async def run(self, job: Job) -> ExecutionResult:
        """As ``__call__``, in this way of running the tool."""
        runner = job.lifespan.runner
        workspace = runner.workspace(self.config.name)
        command = self._command(job, workspace)
        secrets = tuple(filter(None, map(os.environ.get, job.secret_variables)))
        hearing = Hearing.of(job.audience, self.config, self.clock, secrets)
        completed = await runner.run(self.config.name, workspace, command, listener=hearing)
        if hearing is not None:
            hearing.finish()
        return self._result(job, completed, secrets)

    async def check(
        self,
        argv: tuple[str, ...],
        runner: Runner,
        *,
        timeout: float,
        secret_variables: Collection[str],
    ) -> Completed:
        """Run a command of this service's health check, in the service's environment."""
        workspace = runner.workspace(self.config.name)
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

    def _command(self, job: Job, workspace: Workspace) -> Command:
        config = self.config
        environment = self._environment(workspace, job.secret_variables)
        encoded = _encode(config.name, job.text)
        argv = self.template.fill(
            config.name,
            command=config.command,
            prompt=job.text,
            files=job.call.files,
            model=job.model,
            tmpdir=workspace.tmpdir,
        )
        program = find_program(config.name, argv[0], path=environment.get("PATH"))
        return Command(
            argv=(program, *argv[1:]),
            stdin=b"" if self.template.takes_prompt else encoded,
            env=environment,
            tmpdir=workspace.tmpdir,
            cwd=job.call.cwd,
            timeout=job.timeout,
            grace=config.grace_seconds,
            max_output=config.max_output_bytes,
            read_files={
                name: path.replace("{tmpdir}", workspace.tmpdir)
                for name, path in config.output.files.items()
            },
            pass_fds=job.held,
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

    def _result(self, job: Job, completed: Completed, secrets: tuple[str, ...]) -> ExecutionResult:
        outcome = self.reader.read(
            completed,
            prompt=job.text,
            model=job.model,
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
            queued=max(0.0, completed.started_at - job.queued_at),
            pid=completed.pid,
        )


def _encode(service: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCallError(
            service,
            f"the prompt has a lone surrogate at position {error.start}, which no encoding can "
            "carry; decode its source with errors='replace'",
        ) from None
