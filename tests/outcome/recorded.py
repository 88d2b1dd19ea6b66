"""What the tools write, shortened: as recorded from real runs, by tool and by what it meant."""

import json
from typing import Any

from attrs import field, frozen

from leyline.model import FailureKind

K = FailureKind


@frozen(kw_only=True)
class Run:
    """What one run left behind. files: By name in the preset."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 1
    files: dict[str, Any] = field(factory=dict)


def lines(*events: dict[str, Any]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def gemini(
    message: str, code: int | str = 1, *, exit_code: int = 1, noise: str = "Error: API"
) -> Run:
    error = {"session_id": "1", "error": {"type": "Error", "message": message, "code": code}}
    stderr = (
        f"[STARTUP] Phase 'x' was never ended.\n{noise}\n    at f ({{}})\n{{\n  status: 1\n}}\n"
    )
    return Run(stderr=stderr + json.dumps(error, indent=2) + "\n", exit_code=exit_code)


def gemini_invalid(message: str) -> Run:
    error = {"type": "INVALID_STREAM", "message": message}
    return Run(
        stdout=json.dumps({"response": "heard half", "stats": {"models": {}}, "error": error}),
        exit_code=0,
    )


def claude(result: str, status: int | None, error: str, *events: dict[str, Any]) -> Run:
    return Run(
        stdout=lines(
            {"type": "system", "subtype": "init", "model": "claude-sonnet-4-5"},
            *events,
            {"type": "assistant", "message": {"model": "<synthetic>"}, "error": error},
            {
                "type": "result",
                "subtype": "success",
                "is_error": True,
                "api_error_status": status,
                "num_turns": 1,
                "result": result,
                "modelUsage": {},
                "total_cost_usd": 0,
            },
        )
    )


def codex(message: str) -> Run:
    return Run(
        stdout=lines(
            {"type": "thread.started", "thread_id": "1"},
            {"type": "item.completed", "item": {"type": "error", "message": "no metadata: 429"}},
            {"type": "turn.started"},
            {"type": "error", "message": message},
            {"type": "turn.failed", "error": {"message": message}},
        )
    )


def qwen(result: str, *, spent: int = 0, errors: int = 1) -> Run:
    return Run(
        stdout=json.dumps(
            [
                {"type": "system", "subtype": "init", "model": "qwen3"},
                {
                    "type": "result",
                    "subtype": "success",
                    "is_error": False,
                    "result": result,
                    "usage": {"input_tokens": spent, "output_tokens": spent},
                    "stats": {
                        "models": {
                            "qwen3": {
                                "api": {"totalRequests": 1, "totalErrors": errors},
                                "tokens": {"thoughts": 0},
                            }
                        }
                    },
                },
            ]
        ),
        exit_code=0,
    )


def qwen_refused(message: str) -> Run:
    result = {"type": "result", "subtype": "error_during_execution", "is_error": True}
    return Run(stdout=json.dumps([{**result, "error": {"message": message}}]))


def llm(message: str, exit_code: int = 1) -> Run:
    return Run(stderr=f"Error: {message}\n", exit_code=exit_code)


def opencode(
    message: str,
    status: int | None = None,
    *,
    name: str = "APIError",
    headers: dict[str, str] | None = None,
    body: str = "{}",
) -> Run:
    data = {
        "message": message,
        "statusCode": status,
        "responseHeaders": headers or {},
        "responseBody": body,
    }
    return Run(stdout=lines({"type": "error", "error": {"name": name, "data": data}}))


def copilot(message: str, status: int | None = None, error: str = "query") -> Run:
    return Run(
        stdout=lines(
            {"type": "user.message", "data": {"content": "what is a 401?"}},
            {"type": "model.call_failure", "data": {"statusCode": 500, "retryAttempt": 0}},
            {
                "type": "session.error",
                "data": {"errorType": error, "message": message, "statusCode": status},
            },
            {"type": "result", "exitCode": 1, "usage": {"premiumRequests": 0}},
        ),
        files={"usage": {"modelMetrics": {}, "totalPremiumRequestCost": 0}},
    )


def vibe(message: str, code: str = "backend_error", exit_code: int = 2) -> Run:
    return Run(
        stderr=f"Error: {message}\n",
        exit_code=exit_code,
        files={
            "export": {
                "outcome": "infrastructure_failure",
                "error": {"message": message, "code": code},
                "usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
                "cost_usd": 0.0,
                "steps": 1,
                "config": {"active_model": "devstral"},
            }
        },
    )


def vibe_status(status: str, message: str = "no") -> Run:
    kind = "Client" if status.startswith("4") else "Server"
    url = "https://api.mistral.ai/v1/chat/completions"
    return vibe(f"{kind} error '{status}' for url '{url}'\nFor more information: {message}")


def local(kind: str, message: str = "it cannot") -> Run:
    return Run(stdout=lines({"error": {"kind": kind, "message": message}}), stderr=message)


REJECTED = {
    "type": "rate_limit_event",
    "rate_limit_info": {
        "status": "rejected",
        "resetsAt": 1_795_454_701,
        "rateLimitType": "five_hour",
    },
}
GEMINI_MINUTE = (
    "You exceeded your current quota, please check your plan and billing details.\n"
    "* Quota exceeded for metric: generate_content_free_tier_requests, limit: 10\n"
    "Please retry in 10.7s."
)
OPENAI_QUOTA = "You exceeded your current quota, please check your plan and billing details."
OPENAI_LONG = "Your input exceeds the context window of this model."
OPENAI_MODEL = "The model `x` does not exist or you do not have access to it."
OPENAI_MINUTE = "Rate limit reached for x on requests per min. Please try again in 20s."
CODEX_PLAN = (
    "You\u2019ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit "
    "https://chatgpt.com/settings/usage to purchase more credits or try again at 5:14 PM."
)
