"""What kind of failure a failed run was. The one table of general messages stands here.

Asked in this order: the preset's patterns, the HTTP status, the preset's exit codes, the general
patterns. Within each, a quota that is used up is tested before a rate limit, because services
word the first as a case of the second.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from attrs import field, frozen

from leyline.config import ErrorPattern, Stream
from leyline.model import FailureKind

_STATUSES: Final[Mapping[int, FailureKind]] = {
    400: FailureKind.BAD_REQUEST,
    401: FailureKind.AUTH,
    402: FailureKind.CREDIT,
    403: FailureKind.AUTH,
    404: FailureKind.MODEL_NOT_FOUND,
    408: FailureKind.NETWORK,
    413: FailureKind.CONTEXT_TOO_LONG,
    422: FailureKind.BAD_REQUEST,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    529: FailureKind.OVERLOADED,
}

_NAMED: Final = (
    r"(?:http\w{0,20}(?:/\d(?:\.\d)?)?|api|status|rejected|refused|denied"
    r"|(?:status|error|response|http)[ _-]?code|(?<![a-z])code"
    r"|(?<!key)(?<!index)(?<!value)(?<!assertion)error"  # these of Python show any value
    r"|(?:server|service|api|endpoint|gateway|provider|request|attempt \d{1,3})"
    r" (?:returned|answered|replied|responded|failed)(?: with)?)[^\w\n]{0,6}"
)
_NOT_COUNTED: Final = (
    r"(?![\w%]|[.,:/]\d|[ ]?/[ ]?\d|[ ]?(?:m?s|sec\w*|min\w*|hours?|[kmg]i?b|bytes|characters"
    r"|tokens|lines|rows|items|files|tests|records|entries|times|errors|of|out)\b)"
)
_GOES_ON: Final = r"(?:[\])]|:[ ]|[ ][-\u2013\u2014][ ]|[ ](?:re)?try|\W*\Z)"
_IS_CALLED: Final = r"[ ](?:(?:client|server)[ ])?(?:error|response|status)\b"


def _status(numbers: str) -> str:
    """Pattern of an HTTP status; a number alone may be that of a line, or count anything.

    So something names it ("Error code: 429", "HTTP/1.1 503", "a 429 response"), or it begins all
    that is said and a message follows ("429: slow down") or nothing.
    """
    named = rf"{_NAMED}{numbers}{_NOT_COUNTED}|\b{numbers}{_IS_CALLED}"
    return rf"{named}|\A[^\w>]*{numbers}{_GOES_ON}"


_GENERAL: Final[Mapping[FailureKind, tuple[str, ...]]] = {
    FailureKind.QUOTA_EXHAUSTED: (
        r"exhausted your (?:daily )?(?:quota|capacity)",
        r"hit your (?:usage )?limit",
        r"usage limit (?:has been )?reached",
        r"reached your .{0,20}limit",
        r"insufficient_quota",
        r"quota exceeded\. check your plan",
        r"free (?:daily|allocated) quota",
        r"(?:exceeded|exhausted|reached|quotaid).{0,80}per[ -]?day",
        r"per[ -]?day.{0,30}(?:exceeded|exhausted|reached)",
        r"\d (?:[a-z]+ ){0,2}(?:requests|tokens|messages|prompts|calls) per day",
    ),
    FailureKind.CREDIT: (
        r"credit balance",
        r"insufficient (?:balance|credits?|funds)",
        r"payment required",
        r"billing (?:hard )?limit",
        _status("402"),
    ),
    FailureKind.RATE_LIMITED: (
        _status("429"),
        r"rate.?limit",
        r"resource_exhausted",
        r"too many requests",
        r"quota exceeded",
    ),
    FailureKind.AUTH: (
        r"api key not valid",
        r"api_key_invalid",
        r"(?:incorrect|invalid|missing|no) api.?key",
        r"not logged in",
        r"unauthori[sz]ed",
        r"authentication",
        r"missing environment variable",
        r"403 forbidden",
        _status("40[13]"),
    ),
    FailureKind.CONTEXT_TOO_LONG: (
        r"prompt (?:is|as) too long",
        r"context (?:window|length)",
        r"maximum context",
        r"input token count .{0,40}exceeds",
        r"too many tokens",
    ),
    FailureKind.MODEL_NOT_FOUND: (
        r"model.{0,80}(?:not found|does not exist|may not exist|not supported)",
        r"(?:unknown|no such) model",
        r"is not found for api version",
    ),
    FailureKind.OVERLOADED: (
        r"overloaded",
        r"at capacity",
        r"high demand",
        r"\bunavailable\b",
        _status("5(?:03|29)"),
    ),
    FailureKind.NETWORK: (
        r"econn(?:refused|reset|aborted)|enotfound|etimedout|eai_again",
        r"fetch failed",
        r"connection (?:error|refused|reset|timed out)",
        r"(?:cannot|unable to) connect",
        r"could not resolve",
        r"error sending request",
        r"network (?:error|is unreachable)",
        r"disconnected before",
    ),
    FailureKind.SERVER: (
        r"internal (?:server )?error",
        r"server had an error",
        r"bad gateway",
        r"gateway time-?out",
        _status("50[0-24-9]"),
    ),
}
"""The usual wordings of the field, in the order asked."""

_PRECEDENCE: Final = (FailureKind.QUOTA_EXHAUSTED,)

LIMITED: Final = (
    FailureKind.RATE_LIMITED,
    FailureKind.QUOTA_EXHAUSTED,
    FailureKind.OVERLOADED,
)
"""Kinds for which a service may say when it will answer again."""


@frozen(kw_only=True)
class Evidence:
    """What a failed run left to judge it by.

    error: The message that the tool itself gave as its error, and its symbolic name.
    status: HTTP status that the tool reports. exit_code: Of the process.
    """

    error: str = ""
    stderr: str = ""
    stdout: str = ""
    status: int | None = None
    exit_code: int = 0


@frozen
class Verdict:
    """kind: What the failure is. retry_after, until: As captured by the pattern, unread."""

    kind: FailureKind
    retry_after: str | None = None
    until: str | None = None


@frozen
class Classifier:
    """The patterns and exit codes of one service, compiled."""

    patterns: tuple[tuple[ErrorPattern, re.Pattern[str]], ...]
    exit_codes: Mapping[int, FailureKind] = field(factory=dict[int, FailureKind])

    @classmethod
    def compile(
        cls, patterns: Iterable[ErrorPattern], exit_codes: Mapping[int, FailureKind]
    ) -> "Classifier":
        """Compile *patterns*; those of a used-up quota are asked first, else in their order."""
        ordered = sorted(patterns, key=lambda pattern: pattern.kind not in _PRECEDENCE)
        return cls(
            tuple((pattern, re.compile(pattern.match, _FLAGS)) for pattern in ordered), exit_codes
        )

    def on(self, stream: Stream, written: str) -> Verdict | None:
        """What a pattern says that may be looked for in *stream*, whether the run failed or not."""
        return self._named({stream: written[-_SEARCHED:]})

    def classify(self, evidence: Evidence) -> Verdict:
        """The kind of a run that is known to have failed."""
        places = {
            Stream.ERROR: evidence.error,
            Stream.STDERR: evidence.stderr[-_SEARCHED:],
            Stream.STDOUT: evidence.stdout[-_SEARCHED:],
        }
        named = self._named(places)
        if named is not None:
            return named
        if evidence.status is not None and (kind := _of_status(evidence.status)):
            return Verdict(kind)
        if evidence.exit_code in self.exit_codes:
            return Verdict(self.exit_codes[evidence.exit_code])
        return Verdict(_general(evidence) or FailureKind.CRASHED)

    def _named(self, places: Mapping[Stream, str]) -> Verdict | None:
        for pattern, compiled in self.patterns:
            for stream, words in places.items():
                if stream in pattern.where and (found := compiled.search(words)):
                    groups = found.groupdict()
                    return Verdict(pattern.kind, groups.get("retry_after"), groups.get("until"))
        return None


def _of_status(status: int) -> FailureKind | None:
    if status in _STATUSES:
        return _STATUSES[status]
    if 500 <= status < 600:
        return FailureKind.SERVER
    return FailureKind.BAD_REQUEST if 400 <= status < 500 else None


def _general(evidence: Evidence) -> FailureKind | None:
    """By the usual wordings, in the first place that holds any words."""
    if evidence.exit_code == _SHELL_NOT_FOUND:
        return FailureKind.NOT_FOUND
    places = (evidence.error, evidence.stderr, evidence.stdout)
    words = next((place for place in places if place.strip()), "")[-_SEARCHED:]
    return next((kind for kind, pattern in _COMPILED if pattern.search(words)), None)


_FLAGS: Final = re.IGNORECASE
_SEARCHED: Final = 64 * 1024
"""Characters at the end of a stream that are searched; errors come last."""

_SHELL_NOT_FOUND: Final = 127
_COMPILED: Final = tuple(
    (kind, re.compile("|".join(wordings), _FLAGS)) for kind, wordings in _GENERAL.items()
)
