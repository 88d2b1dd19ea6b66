"""How providers refuse: the status, the headers and the body of each protocol for each reason."""

from enum import StrEnum
from typing import Any

from tests.clis.provider_protocol import Protocol


class Mode(StrEnum):
    """How the provider answers.

    PLAN_LIMIT: The limit of a subscription, which names the time of its reset.
    HANG: It accepts the request and says nothing. DROP: It closes the connection.
    CUT: The answer ends half-way.
    """

    OK = "ok"
    HANG = "hang"
    DROP = "drop"
    CUT = "cut"
    RATE_LIMIT = "rate_limit"
    DAILY_QUOTA = "daily_quota"
    PLAN_LIMIT = "plan_limit"
    CREDIT = "credit"
    BAD_KEY = "bad_key"
    NO_MODEL = "no_model"
    TOO_LONG = "too_long"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"


Refusal = tuple[int, dict[str, str], dict[str, Any]]
"""HTTP status, headers, body."""


def refusal(
    protocol: Protocol, mode: Mode, *, model: str, retry_after: int | None, resets_at: int
) -> Refusal:
    """How *protocol* refuses for the reason *mode*.

    retry_after: Seconds to wait, said the protocol's way. resets_at: Unix time of the reset.
    """
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    match protocol:
        case Protocol.GEMINI:
            return _gemini(mode, model, retry_after)  # it says the delay in the body
        case Protocol.ANTHROPIC:
            if mode is Mode.PLAN_LIMIT:
                headers |= _plan_headers(resets_at)
            status, kind, message = _ANTHROPIC[mode]
            error = {"type": kind, "message": message.format(model=model)}
            return status, headers, {"type": "error", "error": error}
        case _:
            if mode is Mode.PLAN_LIMIT:
                return 429, headers, {"error": {**_USAGE_LIMIT, "resets_at": resets_at}}
            status, kind, code, message = _OPENAI[mode]
            text = message.format(model=model, wait=retry_after or 20)
            error = {"message": text, "type": kind, "param": None, "code": code}
            return status, headers, {"error": error}


_GOOGLE = "type.googleapis.com/google.rpc."
_METRIC = "generativelanguage.googleapis.com/generate_content_free_tier_requests"

_GEMINI = {
    Mode.BAD_KEY: (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    Mode.CREDIT: (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    Mode.NO_MODEL: (
        404,
        "NOT_FOUND",
        "models/{model} is not found for API version v1beta. Call ListModels to see them.",
    ),
    Mode.TOO_LONG: (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    Mode.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred. Please retry."),
    Mode.OVERLOADED: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
}


def _gemini(mode: Mode, model: str, retry_after: int | None) -> Refusal:
    details: list[dict[str, Any]] = []
    if mode in (Mode.RATE_LIMIT, Mode.DAILY_QUOTA):
        period, limit = ("Minute", 10) if mode is Mode.RATE_LIMIT else ("Day", 250)
        status, name = 429, "RESOURCE_EXHAUSTED"
        message = (
            "You exceeded your current quota, please check your plan and billing details.\n"
            f"* Quota exceeded for metric: {_METRIC}, limit: {limit}, model: {model}"
        )
        violation = {
            "quotaMetric": _METRIC,
            "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier",
            "quotaValue": str(limit),
        }
        details.append({"@type": _GOOGLE + "QuotaFailure", "violations": [violation]})
        if retry_after is not None:
            message += f"\nPlease retry in {retry_after}s."
            details.append({"@type": _GOOGLE + "RetryInfo", "retryDelay": f"{retry_after}s"})
    else:
        status, name, text = _GEMINI[mode]
        message = text.format(model=model)
        if mode is Mode.BAD_KEY:
            details.append({"@type": _GOOGLE + "ErrorInfo", "reason": "API_KEY_INVALID"})
    error = {"code": status, "message": message, "status": name, "details": details}
    return status, {}, {"error": error}


_ANTHROPIC = {
    Mode.RATE_LIMIT: (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    Mode.PLAN_LIMIT: (
        429,
        "rate_limit_error",
        "This request would exceed your account's rate limit. Please try again later.",
    ),
    Mode.CREDIT: (
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
    ),
    Mode.BAD_KEY: (401, "authentication_error", "invalid x-api-key"),
    Mode.NO_MODEL: (404, "not_found_error", "model: {model}"),
    Mode.TOO_LONG: (
        400,
        "invalid_request_error",
        "prompt is too long: 212345 tokens > 200000 maximum",
    ),
    Mode.SERVER_ERROR: (500, "api_error", "Internal server error"),
    Mode.OVERLOADED: (529, "overloaded_error", "Overloaded"),
}


def _plan_headers(resets_at: int) -> dict[str, str]:
    said = {
        "status": "rejected",
        "reset": str(resets_at),
        "representative-claim": "five_hour",
        "5h-status": "rejected",
        "5h-reset": str(resets_at),
        "5h-utilization": "1.0",
        "7d-status": "allowed",
        "7d-reset": str(resets_at + 400_000),
        "7d-utilization": "0.4",
        "overage-status": "rejected",
    }
    return {f"anthropic-ratelimit-unified-{name}": value for name, value in said.items()}


_USAGE_LIMIT = {
    "type": "usage_limit_reached",
    "message": "The usage limit has been reached",
    "plan_type": "plus",
}

_OPENAI = {
    Mode.RATE_LIMIT: (
        429,
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} on requests per min. Please try again in {wait}s.",
    ),
    Mode.DAILY_QUOTA: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    Mode.CREDIT: (402, "billing_error", "payment_required", "Insufficient balance"),
    Mode.BAD_KEY: (
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided. Find yours in the settings of your account.",
    ),
    Mode.NO_MODEL: (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    Mode.TOO_LONG: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input.",
    ),
    Mode.SERVER_ERROR: (
        500,
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    Mode.OVERLOADED: (
        503,
        "server_error",
        "service_unavailable",
        "The engine is currently overloaded, please try again later",
    ),
}
