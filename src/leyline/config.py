"""What a service is, as plain frozen values: the schema of ``services.yaml`` and of the presets.

Nothing here reads a file or runs anything. A field left unsaid is filled from the preset of the
tool, if leyline knows the tool, when the service is registered; else from ``DEFAULTS``.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from leyline.model import FailureKind
from leyline.policies import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, RetryPolicy


class AuthMethod(StrEnum):
    """How a tool proves who is asking."""

    API_KEY = "api_key"
    OAUTH = "oauth"
    TOKEN = "token"  # noqa: S105  (a word of the vocabulary, not a secret)
    NONE = "none"


class OutputFormat(StrEnum):
    """How to read a tool's standard output.

    TEXT: the answer is the output.
    JSON: one document. JSONL: one document a line, seen by expressions as a list.
    AUTO: as JSON or JSONL where it parses so, else as text.
    """

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    AUTO = "auto"


class Stream(StrEnum):
    """Where a message pattern is looked for.

    ERROR: the message that ``error_message`` found. STDERR, STDOUT: the raw streams.
    """

    ERROR = "error"
    STDERR = "stderr"
    STDOUT = "stdout"


@frozen(kw_only=True)
class ErrorPattern:
    """A message of one tool, and what it means.

    kind: What it means.
    match: Regular expression, searched without regard to case. The named groups ``retry_after``
        and ``until`` are read as a delay and as a point in time.
    where: The places to search. Never an answer: standard output is searched only where a tool
        writes its errors there as text and the pattern cannot stand in an answer.
    """

    kind: FailureKind
    match: str
    where: tuple[Stream, ...] = (Stream.ERROR, Stream.STDERR)


@frozen(kw_only=True)
class OutputConfig:
    """Where the parts of a run stand in what a tool wrote; each a JMESPath expression.

    The expressions see one document with the keys ``out`` (standard output; for JSONL the list
    of its lines), ``err`` (the last JSON object on standard error, or null) and one key for each
    of ``files``. An empty expression means that the tool does not say.

    text: The answer. A list is joined.
    model: The model that answered.
    succeeded: True where the tool itself says that the run went well, whatever the exit code.
        Where it is given and not true, the run did not succeed: its output was cut off.
    failed: True where the tool itself says that it did not, whatever the exit code.
    error_message, error_status, error_code: The error's text, its HTTP status, its symbolic name.
        Where any of them is found, the run failed.
    retry_after: Seconds to wait, or text that says so. until: Unix time, or text that says so.
    input_tokens: All tokens of the prompt, cached ones included.
    cached_tokens: Those of them read from a cache.
    output_tokens: All tokens of the answer, reasoning included. reasoning_tokens: those of them.
    total_tokens: Input and output; their sum where unsaid.
    requests: Calls to the model that this one prompt took.
    cost_usd: Price in US dollars.
    files: Names and paths (``{tmpdir}`` is filled in) of JSON documents that the tool writes.
    """

    format: OutputFormat = OutputFormat.TEXT
    text: str = ""
    model: str = ""
    succeeded: str = ""
    failed: str = ""
    error_message: str = ""
    error_status: str = ""
    error_code: str = ""
    retry_after: str = ""
    until: str = ""
    input_tokens: str = ""
    cached_tokens: str = ""
    output_tokens: str = ""
    reasoning_tokens: str = ""
    total_tokens: str = ""
    requests: str = ""
    cost_usd: str = ""
    files: Mapping[str, str] = field(factory=dict[str, str])


@frozen(kw_only=True)
class StreamConfig:
    """How the answer of a streamed run is seen growing, and how its outcome is read.

    text: JMESPath expression over the JSON document of one line of standard output, that gives
        the piece of text which the line adds; null for lines that add none. Empty: the output
        itself is the answer where its format is text, else the answer is seen only at the end.
    output: As ``ServiceConfig.output``, for streamed runs. None: the same.
    """

    text: str = ""
    output: OutputConfig | None = None


class FilesVia(StrEnum):
    """How the files of a call reach a tool.

    ARGUMENT: as arguments, where ``{files}`` stands in the template.
    REFERENCE: as references (``@path``) after the prompt; the tool reads the files itself.
    INLINE: their text after the prompt; for tools that cannot read files.
    """

    ARGUMENT = "argument"
    REFERENCE = "reference"
    INLINE = "inline"


class _Unsaid:
    def __repr__(self) -> str:
        return "UNSAID"


UNSAID: Final[Any] = _Unsaid()
"""Stands for a field of ``ServiceConfig``, or a parameter, that was not given."""

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "auth_method": AuthMethod.NONE,
        "auth_env_var": "",
        "quota_limits": {},
        "models": (),
        "display_name": "",
        "command_template": "{command} -p {prompt}",
        "auth_check_cmd": "",
        "default_model": "",
        "max_context": 100_000,
        "supports_files": True,
        "supports_streaming": False,
        "health_check_cmd": "",
        "timeout_seconds": 60.0,
        "version_cmd": "",
        "files_via": FilesVia.ARGUMENT,
        "file_args": ("@{file}",),
        "env": {},
        "unset_env": (),
        "output": OutputConfig(),
        "error_patterns": (),
        "exit_codes": {},
        "stream_template": "",
        "stream": StreamConfig(),
        "retry_notices": (),
        "grace_seconds": 2.0,
        "max_output_bytes": 32 * 2**20,
        "retry": RetryPolicy(),
        "budget": BudgetPolicy(),
        "breaker": BreakerPolicy(),
        "concurrency": ConcurrencyPolicy(),
        "idempotent": True,
        "code_execution": False,
        "weight": 1.0,
    }
)
"""What a field means where neither the user nor a preset says anything."""


@frozen
class ServiceConfig:
    """One service: a command-line tool and all that leyline has to know of it.

    name: What the service is called in the registry and in every message.
    command: The program: a name on PATH or a path. Names what is run, never a shell line.
    auth_method: ``api_key``, ``oauth``, ``token`` or ``none``.
    auth_env_var: Environment variable that holds the key. Read when a call starts, handed to this
        tool alone, never stored.
    quota_limits: ``rpm``, ``rpd`` (or ``daily``), ``tpm``, ``tpd``, ``concurrent``, ``windows``,
        ``reset``, ``burst``, ``guard``, ``pool``, ``dry_run``: see ``read_quota_limits``.
    models: Models that may be asked for. Empty: any.
    display_name: For people; the name where empty.
    command_template: The arguments, split once as a shell would and filled in per element, never
        run by a shell. Placeholders: ``{command}``, ``{prompt}``, ``{files}``, ``{model}``,
        ``{tmpdir}``. Without ``{prompt}`` the prompt goes in on standard input. An element with
        ``{model}`` falls away where no model is chosen; where it is ``{model}`` alone, the option
        before it does too.
    auth_check_cmd: Command whose exit status 0 means logged in. Empty: the variable is looked at.
    default_model: Model for calls that name none. Empty: the tool's own choice.
    max_context: Tokens that fit into the model.
    supports_files, supports_streaming: What the tool can do.
    health_check_cmd: Own check: exit status 0 is passing, 1 a warning, anything else critical.
    timeout_seconds: Seconds for one run, from the start of the process. None: no limit.
    preset: Name of the preset to take. None: the one of the command's name, if there is one.
        Empty: none.
    version_cmd: Command that prints the version, for the health check. Empty: not asked.
    files_via, file_args: How files reach the tool; ``file_args`` are the elements for one file.
    env: Variables set for the tool; ``{tmpdir}`` is filled in. Values are kept out of ``repr``.
    unset_env: Variables that the tool must not see.
    output, error_patterns, exit_codes: How the outcome is read; see ``OutputConfig``.
    stream_template: The arguments of a streamed run, as ``command_template``. Empty: the same.
    stream: How a streamed run is heard and read; see ``StreamConfig``.
    retry_notices: Lines by which the tool says, while it runs, that it was refused and tries
        again by itself, and what that means. Looked for in each line of standard error, and of
        standard output where a pattern says so: only for tools whose output is data, and with a
        pattern that no answer in it can match, such as one that begins with ``^``.
    grace_seconds: Seconds between asking the process tree to stop and killing it.
    max_output_bytes: Bytes of standard output, and of standard error, past which a run is stopped.
    retry, budget, breaker, concurrency: How its failures are met; see ``leyline.policies``. None:
        not at all; there is no bound then to what is asked of it.
    idempotent: Whether asking twice does no harm. False for a tool that changes files: it is tried
        again only where nothing had started.
    code_execution: Whether the tool runs code. weight: Its part where services are drawn by lot.
    unsaid: Names of the fields that were not given; kept by ``attrs.evolve``.
    """

    name: str
    command: str
    auth_method: str = UNSAID
    auth_env_var: str = UNSAID
    quota_limits: Mapping[str, Any] = UNSAID
    models: tuple[str, ...] = UNSAID
    display_name: str = field(default=UNSAID, kw_only=True)
    command_template: str = field(default=UNSAID, kw_only=True)
    auth_check_cmd: str = field(default=UNSAID, kw_only=True)
    default_model: str = field(default=UNSAID, kw_only=True)
    max_context: int = field(default=UNSAID, kw_only=True)
    supports_files: bool = field(default=UNSAID, kw_only=True)
    supports_streaming: bool = field(default=UNSAID, kw_only=True)
    health_check_cmd: str = field(default=UNSAID, kw_only=True)
    timeout_seconds: float | None = field(default=UNSAID, kw_only=True)
    preset: str | None = field(default=None, kw_only=True)
    version_cmd: str = field(default=UNSAID, kw_only=True)
    files_via: FilesVia = field(default=UNSAID, kw_only=True)
    file_args: tuple[str, ...] = field(default=UNSAID, kw_only=True)
    env: Mapping[str, str] = field(default=UNSAID, kw_only=True, repr=lambda env: str(sorted(env)))
    unset_env: tuple[str, ...] = field(default=UNSAID, kw_only=True)
    output: OutputConfig = field(default=UNSAID, kw_only=True, repr=False)
    error_patterns: tuple[ErrorPattern, ...] = field(default=UNSAID, kw_only=True, repr=False)
    exit_codes: Mapping[int, FailureKind] = field(default=UNSAID, kw_only=True, repr=False)
    stream_template: str = field(default=UNSAID, kw_only=True)
    stream: StreamConfig = field(default=UNSAID, kw_only=True, repr=False)
    retry_notices: tuple[ErrorPattern, ...] = field(default=UNSAID, kw_only=True, repr=False)
    grace_seconds: float = field(default=UNSAID, kw_only=True)
    max_output_bytes: int = field(default=UNSAID, kw_only=True)
    retry: RetryPolicy | None = field(default=UNSAID, kw_only=True)
    budget: BudgetPolicy | None = field(default=UNSAID, kw_only=True)
    breaker: BreakerPolicy | None = field(default=UNSAID, kw_only=True)
    concurrency: ConcurrencyPolicy | None = field(default=UNSAID, kw_only=True)
    idempotent: bool = field(default=UNSAID, kw_only=True)
    code_execution: bool = field(default=UNSAID, kw_only=True)
    weight: float = field(default=UNSAID, kw_only=True)
    unsaid: frozenset[str] = field(default=frozenset(), kw_only=True, repr=False)

    def __attrs_post_init__(self) -> None:
        unsaid = {name for name in self.unsaid if getattr(self, name) == DEFAULTS[name]}
        for attribute in fields(type(self)):
            if getattr(self, attribute.name) is UNSAID:
                unsaid.add(attribute.name)
                object.__setattr__(self, attribute.name, DEFAULTS[attribute.name])
        for name in ("models", "file_args", "unset_env", "error_patterns", "retry_notices"):
            self._convert(name, list, tuple)
        for name in ("quota_limits", "env", "exit_codes"):
            self._convert(name, Mapping, dict)  # a copy: the caller's may change, ours must not
        object.__setattr__(self, "unsaid", frozenset(unsaid))

    def streamed(self) -> "ServiceConfig":
        """The service as its streamed runs see it: with their arguments and their output."""
        return evolve(
            self,
            command_template=self.stream_template or self.command_template,
            output=self.stream.output or self.output,
        )

    def _convert(self, name: str, given: type, kept: Callable[[Any], Any]) -> None:
        """Bring one field into its frozen shape; wrong types are left for the validation."""
        value = getattr(self, name)
        if isinstance(value, given):
            object.__setattr__(self, name, kept(value))
