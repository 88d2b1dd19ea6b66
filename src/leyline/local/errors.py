"""What can go wrong, with a kind for programs and a sentence for people."""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why there is no answer.

    BAD_REQUEST: the prompt cannot be used. CONTEXT_TOO_LONG: it has more tokens than fit.
    MODEL_NOT_FOUND: no model of that name. NOT_INSTALLED: the extra ``local`` is missing.
    ADDRESS: the server cannot listen there. SERVER: the model cannot be loaded or run.
    """

    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_INSTALLED = "not_installed"
    ADDRESS = "address"
    SERVER = "server"


class LocalError(Exception):
    """There is no answer. kind: Why. message: What is wrong and what to do."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message
