"""The innermost layer: one call becomes one process, and what it left becomes a result."""

import os
from collections.abc import Collection

from attrs import frozen

from leyline.calls import prompt as prompts
from leyline.config import ServiceConfig
from leyline.errors import InvalidCallError
from leyline.model import Call, Command, Completed, ExecutionResult
from leyline.outcome import OutcomeReader
from leyline.process import MARKER, Runner, Workspace, child_environment
from leyline.program import find_program
from leyline.template import CommandTemplate

_CHECK_OUTPUT_BYTES = 64 * 1024


@frozen(eq=False)
class Service:
    """A service made ready at its registration: nothing is parsed again when it is called."""

    config: ServiceConfig
    template: CommandTemplate
    reader: OutcomeReader

    @classmethod
    def prepare(cls, config: ServiceConfig) -> "Service":
        """Make a resolved *config* ready. Raises ConfigError if its template is wrong."""
        template = CommandTemplate.parse(config.command_template, file_args=config.file_args)
        return cls(config, template, OutcomeReader(config))

    async def execute(
        self, call: Call, runner: Runner, *, secret_variables: Collection[str], queued_at: float
    ) -> ExecutionResult:
        """Run *call* in a process of its own and say what came of it.

        secret_variables: The variables that hold the keys of all registered services.
        queued_at: Unix time at which the caller asked.

        Cancellation: the process tree is stopped behind the caller.
        Raises InvalidCallError, CommandNotFoundError or SpawnError where no process started.
        """
        config = self.config
        prompts.check(config, call, takes_files=self.template.takes_files)
        text = prompts.compose(config, call)
        # What the template has no place for, the tool never hears of.
        model = (call.model or config.default_model or None) if self.template.takes_model else None
        workspace = runner.workspace()
        command = self._command(call, text, model, workspace, secret_variables)
        completed = await runner.run(config.name, workspace, command)
        return self._result(completed, text, model, secret_variables, queued_at)

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


def _encode(service: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidCallError(
            service,
            f"the prompt has a lone surrogate at position {error.start}, which no encoding can "
            "carry; decode its source with errors='replace'",
        ) from None
