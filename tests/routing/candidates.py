"""Services to choose among."""

from typing import Any

from leyline.routing.candidate import Candidate

ABLE = {"supports_files": True, "supports_streaming": True, "code_execution": True}


def candidate(name: str, order: int = 0, **given: Any) -> Candidate:
    return Candidate(name=name, order=order, **({"max_context": 100_000} | ABLE | given))
