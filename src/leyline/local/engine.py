"""The model, in this process: llama.cpp, loaded for a quick start on a small machine."""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Protocol

from attrs import frozen

from leyline.local.errors import ErrorKind, LocalError
from leyline.local.weights import MODEL, find_weights, not_installed

LOOPBACK: Final = "127.0.0.1"
TRAINED_CONTEXT: Final = 32_768
"""Tokens of context that the model was trained with."""

# The weights bring no template. A base model continues a text, so the messages are that text.
_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['content'] or '' }}"
    "{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}"
)


class Engine(Protocol):
    """A loaded model; it also listens at ``listening_address``."""

    @property
    def listening_address(self) -> str: ...
    def handle_completions(self, request: Mapping[str, Any]) -> Mapping[str, Any]: ...


@frozen(kw_only=True)
class Setup:
    """How to load the model.

    context: Tokens that prompt and answer may have together. slots: Answers at the same time.
    threads: Threads to compute with. max_tokens: Tokens of an answer where a request names none.
    verbose: Let llama.cpp write its log.
    key: What a request over HTTP must show.
    """

    context: int
    threads: int
    max_tokens: int
    key: str
    slots: int = 1
    verbose: bool = False


@frozen(kw_only=True)
class Answer:
    """What the model said, and the tokens it counted. finish_reason: ``length`` or ``stop``."""

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str


def load(setup: Setup) -> Engine:
    """Load the model and listen; takes about half a second. Raises ``LocalError``."""
    weights = find_weights()
    try:
        llama = import_module("xllamacpp")
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    except ImportError as error:
        raise LocalError(ErrorKind.SERVER, f"xllamacpp cannot be loaded: {error}") from error
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}
    params.load_mode = llama.llama_load_mode.LLAMA_LOAD_MODE_MMAP  # shared by all processes
    params.fit_params = False  # fitting to the memory of a GPU loads everything twice
    params.warmup = False
    params.no_extra_bufts = True  # no second copy of the weights, laid out anew
    params.n_ctx = setup.context * setup.slots
    params.n_parallel = setup.slots
    params.n_predict = setup.max_tokens
    params.cache_ram_mib = 0  # a cache of earlier prompts would grow to gigabytes
    params.n_ctx_checkpoints = 0
    params.cpuparams.n_threads = setup.threads
    params.cpuparams.poll = 0  # a thread that waits sleeps, for the sake of its neighbours
    params.chat_template = _TEMPLATE
    params.hostnames = [LOOPBACK]  # it always listens, on a port that the system chooses
    params.api_keys = [setup.key]
    params.cors_origins = ""  # no page of a browser may read an answer
    params.ui = False
    params.endpoint_slots = False  # it shows the prompts of others
    if not setup.verbose:
        params.verbosity = -1
    try:
        engine: Engine = llama.Server(params)
    except RuntimeError as error:
        message = (
            f"the model cannot be loaded from {weights}; --verbose shows why "
            "(deleted, the file is made anew)"
        )
        raise LocalError(ErrorKind.SERVER, message) from error
    return engine


def private_key() -> str:
    """A key that nobody else knows: llama.cpp's own port is open to this process alone."""
    return os.urandom(16).hex()


def complete(
    engine: Engine, prompt: str, *, max_tokens: int, temperature: float, seed: int | None
) -> Answer:
    """Continue *prompt* by up to *max_tokens*.

    temperature: 0 takes the likeliest token each time, always the same. seed: None is a random
    one. Raises ``LocalError`` where the prompt does not fit.
    """
    request: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    if seed is not None:
        request["seed"] = seed
    try:
        reply = engine.handle_completions(request)
    except RuntimeError as error:
        raise LocalError(ErrorKind.SERVER, f"the model failed: {error}") from error
    if "error" in reply:
        raise _refused(reply["error"])
    choice, usage = reply["choices"][0], reply["usage"]
    return Answer(
        text=choice["text"],
        input_tokens=usage["prompt_tokens"],
        output_tokens=usage["completion_tokens"],
        finish_reason=choice["finish_reason"],
    )


def _refused(error: Mapping[str, Any]) -> LocalError:
    if error.get("type") == "exceed_context_size_error":
        message = (
            f"the prompt has {error['n_prompt_tokens']} tokens, "
            f"more than the context of {error['n_ctx']}; shorten it or raise --context"
        )
        return LocalError(ErrorKind.CONTEXT_TOO_LONG, message)
    return LocalError(ErrorKind.SERVER, f"the model failed: {error.get('message')}")
