"""A recorded answer of each tool, with what it cost and who gave it."""

import json
from collections.abc import Mapping
from typing import Final

from attrs import evolve

from leyline.model import Usage
from tests.outcome.recorded import Run, lines

TEXT: Final = "It is 42."
QUOTED: Final = (
    "429 is a rate limit, 401 an invalid API key. You've hit your usage limit. "
    "insufficient_quota [API Error: 500 no]"
)

_COUNTED: Final = Usage(
    input_tokens=1234,
    cached_tokens=200,
    output_tokens=63,
    reasoning_tokens=7,
    total_tokens=1297,
    measured=True,
)


def quoting(run: Run) -> Run:
    """*run* with an answer that talks about errors."""
    return evolve(run, stdout=run.stdout.replace(TEXT, QUOTED))


_GEMINI = {
    "response": TEXT,
    "stats": {
        "models": {
            "gemini-2.5-flash": {
                "api": {"totalRequests": 1},
                "tokens": {
                    "input": 1034, "prompt": 1234, "candidates": 56, "total": 1297,
                    "cached": 200, "thoughts": 7, "tool": 0,
                },
            }
        }
    },
}  # fmt: skip

_CLAUDE = (
    {"type": "system", "subtype": "init", "model": "claude-sonnet-4-5"},
    {"type": "assistant", "message": {"model": "claude-sonnet-4-5"}},
    {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed", "resetsAt": 1}},
    {
        "type": "result", "subtype": "success", "is_error": False, "api_error_status": None,
        "num_turns": 1, "result": TEXT, "total_cost_usd": 0.0041,
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "modelUsage": {
            "claude-sonnet-4-5": {
                "inputTokens": 1000, "outputTokens": 63, "cacheReadInputTokens": 200,
                "cacheCreationInputTokens": 34, "costUSD": 0.0041,
            }
        },
    },
)  # fmt: skip

_CODEX = (
    {"type": "thread.started", "thread_id": "1"},
    {"type": "item.completed", "item": {"type": "error", "message": "a mere warning: 429"}},
    {"type": "turn.started"},
    {"type": "error", "message": "Reconnecting... 2/5 (unexpected status 500)"},
    {"type": "item.completed", "item": {"type": "agent_message", "text": "Let me see."}},
    {"type": "item.completed", "item": {"type": "agent_message", "text": TEXT}},
    {
        "type": "turn.completed",
        "usage": {
            "input_tokens": 1234, "cached_input_tokens": 200, "output_tokens": 63,
            "reasoning_output_tokens": 7,
        },
    },
)  # fmt: skip

_QWEN = [
    {"type": "system", "subtype": "init", "model": "qwen3"},
    {
        "type": "result", "subtype": "success", "is_error": False, "result": TEXT,
        "usage": {
            "input_tokens": 1234, "output_tokens": 63, "cache_read_input_tokens": 200,
            "total_tokens": 1297,
        },
        "stats": {
            "models": {
                "qwen3": {
                    "api": {"totalRequests": 2, "totalErrors": 0},
                    "tokens": {"thoughts": 7},
                }
            }
        },
    },
]  # fmt: skip

_LLM = [
    {
        "model": "gpt-5", "resolved_model": None, "input_tokens": 1234, "output_tokens": 63,
        "response": TEXT,
        "response_json": {
            "usage": {
                "prompt_tokens_details": {"cached_tokens": 200},
                "completion_tokens_details": {"reasoning_tokens": 7},
            }
        },
    }
]  # fmt: skip

_OPENCODE = (
    {"type": "step_start", "part": {}},
    {"type": "text", "part": {"text": "Let me see."}},
    {
        "type": "step_finish",
        "part": {
            "reason": "tool-calls", "cost": 0.001,
            "tokens": {
                "input": 1000, "output": 50, "reasoning": 3, "cache": {"write": 0, "read": 150},
            },
        },
    },
    {"type": "text", "part": {"text": TEXT}},
    {
        "type": "step_finish",
        "part": {
            "reason": "stop", "cost": 0.002,
            "tokens": {
                "input": 34, "output": 6, "reasoning": 4, "cache": {"write": 0, "read": 50},
            },
        },
    },
)  # fmt: skip

_COPILOT = (
    {"type": "user.message", "data": {"content": "Hello"}},
    {"type": "model.call_failure", "data": {"statusCode": 500, "retryAttempt": 0}},
    {"type": "assistant.message_delta", "data": {"deltaContent": "It is"}},
    {"type": "assistant.message", "data": {"content": TEXT}},
    {"type": "result", "exitCode": 0, "usage": {"premiumRequests": 1}},
)
_COPILOT_USAGE = {
    "currentModel": "gpt-5",
    "modelMetrics": {
        "gpt-5": {
            "requests": {"count": 1, "cost": 1},
            "usage": {
                "inputTokens": 1234, "outputTokens": 63, "cacheReadTokens": 200,
                "cacheWriteTokens": 0, "reasoningTokens": 7,
            },
        }
    },
}  # fmt: skip

_VIBE = [
    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
]
_VIBE_EXPORT = {
    "outcome": "finished", "error": None, "steps": 1, "cost_usd": 0.00136,
    "usage": {
        "input_tokens": 1234, "output_tokens": 63, "cached_input_tokens": 200,
        "total_tokens": 1297,
    },
    "config": {"active_model": "devstral"},
}  # fmt: skip

_LOCAL = {
    "text": TEXT,
    "model": "gemma-3-270m",
    "usage": {"input_tokens": 1234, "output_tokens": 63, "total_tokens": 1297},
}


def _document(document: object, **files: object) -> Run:
    return Run(stdout=json.dumps(document), exit_code=0, files=files)


def _events(events: tuple[dict[str, object], ...], **files: object) -> Run:
    return Run(stdout=lines(*events), exit_code=0, files=files)


ANSWERS: Final[Mapping[str, tuple[Run, Usage, str | None]]] = {
    "gemini": (_document(_GEMINI), _COUNTED, "gemini-2.5-flash"),
    "claude": (
        _events(_CLAUDE),
        evolve(_COUNTED, reasoning_tokens=0, cost_usd=0.0041),
        "claude-sonnet-4-5",
    ),
    "codex": (_events(_CODEX), _COUNTED, None),
    "qwen": (_document(_QWEN), evolve(_COUNTED, requests=2), "qwen3"),
    "llm": (_document(_LLM), _COUNTED, "gpt-5"),
    "opencode": (_events(_OPENCODE), evolve(_COUNTED, requests=2, cost_usd=0.003), None),
    "copilot": (_events(_COPILOT, usage=_COPILOT_USAGE), _COUNTED, "gpt-5"),
    "vibe": (
        _document(_VIBE, export=_VIBE_EXPORT),
        evolve(_COUNTED, reasoning_tokens=0, cost_usd=0.00136),
        "devstral",
    ),
    "local": (
        _document(_LOCAL),
        evolve(_COUNTED, cached_tokens=0, reasoning_tokens=0, cost_usd=0.0),
        "gemma-3-270m",
    ),
}
"""By tool: the run, what it cost, and the model that it names. The answer is ``TEXT``."""
