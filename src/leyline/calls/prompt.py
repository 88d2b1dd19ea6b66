"""Check a call before anything starts, and put its prompt and files together."""

import os
import stat
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from leyline.config import FilesVia, ServiceConfig
from leyline.errors import InvalidCallError
from leyline.model import BoundCall
from leyline.tokens import estimate_tokens, tokens_of_length


def check(config: ServiceConfig, call: BoundCall, *, takes_files: bool) -> None:
    """Raise InvalidCallError for the mistakes that can be known before anything starts.

    takes_files: Whether the template has a place for files.
    """
    if not call.prompt.strip():
        raise InvalidCallError(config.name, "the prompt is empty; give it some text")
    if call.model is not None and config.models and call.model not in config.models:
        close = get_close_matches(call.model, config.models, n=1)
        hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(config.models)}"
        raise InvalidCallError(config.name, f'unknown model "{call.model}"; {hint}')
    for name, seconds in (("timeout", call.timeout), ("deadline", call.deadline)):
        if seconds is not None and not seconds > 0:
            raise InvalidCallError(
                config.name, f"a {name} must be a positive number of seconds, got {seconds}"
            )
    folder = Path(call.cwd or ".")
    if not os.path.isdir(folder):  # noqa: PTH112  (the method raises for a name too long)
        raise InvalidCallError(config.name, f'working directory "{folder}" is not a directory')
    if call.files and not config.supports_files:
        raise InvalidCallError(
            config.name, "this service takes no files; put the text in the prompt"
        )
    for name in call.files:
        _check_file(config.name, name, folder / name)
    if call.files and config.files_via is FilesVia.ARGUMENT and not takes_files:
        raise InvalidCallError(
            config.name,
            "the command_template has no place for files; put {files} into it, or set files_via "
            "to inline, which puts their text into the prompt",
        )


def compose(config: ServiceConfig, call: BoundCall) -> str:
    """The prompt as the tool gets it: unchanged, with the files after it where they go in there.

    Raises InvalidCallError if a file to be put in is not text, or cannot be read.
    """
    if not call.files or config.files_via is FilesVia.ARGUMENT:
        return call.prompt
    if config.files_via is FilesVia.REFERENCE:
        references = " ".join(_reference(name) for name in call.files)
        return f"{call.prompt}\n\n{references}"
    folder = Path(call.cwd or ".")
    parts = [call.prompt]
    for name in call.files:
        try:
            text = (folder / name).read_text("utf-8")
        except UnicodeDecodeError:
            raise InvalidCallError(
                config.name, f'file "{name}" is not text (UTF-8), and this service reads only text'
            ) from None
        except OSError as error:
            raise _unreadable(config.name, name, error) from None
        parts.append(f"--- {name} ---\n{text}")
    return "\n\n".join(parts)


def estimate(call: BoundCall) -> int:
    """Tokens that the prompt and its files probably are; what is gone meanwhile counts nothing."""
    if not call.files:
        return estimate_tokens(call.prompt)
    folder = Path(call.cwd or ".")
    tokens = estimate_tokens(call.prompt)
    for name in call.files:
        with suppress(OSError):
            tokens += tokens_of_length((folder / name).stat().st_size, name)
    return tokens


def _check_file(service: str, name: str, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # of a null byte
        raise InvalidCallError(service, f'file "{name}" does not exist') from None
    except OSError as error:
        raise _unreadable(service, name, error) from None
    try:
        mode = os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise InvalidCallError(service, f'file "{name}" is a directory; name the files in it')
    if not stat.S_ISREG(mode):  # to read from a pipe would hold up the whole program
        reason = f'file "{name}" is no plain file; save what comes from it first'
        raise InvalidCallError(service, reason)


def _unreadable(service: str, name: str, error: OSError) -> InvalidCallError:
    return InvalidCallError(service, f'file "{name}" cannot be read: {error.strerror}')


def _reference(name: str) -> str:
    return "@" + name.replace("\\", "\\\\").replace(" ", "\\ ")
