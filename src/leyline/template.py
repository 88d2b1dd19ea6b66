"""Command templates: split once, filled in per element, never near a shell."""

import os
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from string import Formatter
from typing import Final

from attrs import frozen

from leyline.errors import ConfigError, InvalidCallError, PromptTooLargeError

PLACEHOLDERS: Final = ("command", "prompt", "files", "model", "tmpdir")

CHECK_PLACEHOLDERS: Final = ("command",)
"""What the commands of a health check may contain in braces."""

_OF_THE_CALL: Final = ("prompt", "files", "model")
"""Placeholders whose text comes with each call, and from whoever wrote the prompt."""

MAX_ARGUMENT_BYTES: Final = 128 * 1024 - 1
"""Longest argument that Linux executes: MAX_ARG_STRLEN without the closing NUL."""

Piece = tuple[str, str | None]
"""Literal text, and the name of the placeholder that follows it, if one does."""


@frozen
class CommandTemplate:
    """A command line with places for what changes from call to call.

    elements: Each argument, as pieces of text and placeholders.
    file_args: What one file becomes, with ``{file}`` in it.
    """

    elements: tuple[tuple[Piece, ...], ...]
    file_args: tuple[str, ...] = ("@{file}",)

    @classmethod
    def parse(
        cls,
        template: str,
        *,
        file_args: tuple[str, ...] = ("@{file}",),
        placeholders: Sequence[str] = PLACEHOLDERS,
    ) -> "CommandTemplate":
        """Split *template* as a shell would, once.

        Raises ConfigError for unbalanced quotes or braces, for unknown placeholders, and where
        the program would be chosen by what is asked rather than by the configuration.
        """
        try:
            words = shlex.split(template)
        except ValueError as error:
            raise ConfigError((f"{str(error).lower()} in {template!r}",)) from None
        if not words:
            raise ConfigError(("expected a command, got nothing",))
        elements = tuple(_pieces(word, placeholders) for word in words)
        for _, name in elements[0]:
            if name in _OF_THE_CALL:
                raise ConfigError(
                    (f'"{{{name}}}" cannot be the program; begin with "{{command}}"',)
                )
        return cls(elements, file_args)

    @property
    def takes_prompt(self) -> bool:
        """Whether the prompt is an argument. If not, it goes in on standard input."""
        return self._has("prompt")

    @property
    def takes_files(self) -> bool:
        """Whether files are arguments."""
        return self._has("files")

    @property
    def takes_model(self) -> bool:
        """Whether the tool is told which model to use."""
        return self._has("model")

    def fill(
        self,
        service: str,
        *,
        command: str,
        prompt: str = "",
        files: Sequence[str] = (),
        model: str | None = None,
        tmpdir: str = "",
    ) -> tuple[str, ...]:
        """The arguments of one run; whatever *prompt* contains, it stays one argument.

        An element with ``{model}`` falls away where *model* is None; where it is ``{model}``
        alone, the option before it does too.
        Raises InvalidCallError if a value would be read as an option or cannot be an argument,
        PromptTooLargeError if an argument would be longer than the system takes.
        """
        values = {"command": command, "prompt": prompt, "model": model or "", "tmpdir": tmpdir}
        argv: list[str] = []
        for pieces in self.elements:
            names = {name for _, name in pieces if name}
            if "files" in names:
                argv.extend(self._file_arguments(files))
            elif "model" in names and not model:
                alone = pieces == (("", "model"),)
                if alone and len(argv) > 1 and argv[-1].startswith("-"):
                    argv.pop()
            else:
                argument = "".join(text + (values[name] if name else "") for text, name in pieces)
                first_text, first_name = pieces[0]
                if not first_text and first_name in ("prompt", "model"):
                    _refuse_option(service, first_name, argument)
                argv.append(argument)
        for argument in argv:
            _check_argument(service, argument)
        return tuple(argv)

    def _has(self, placeholder: str) -> bool:
        return any(name == placeholder for pieces in self.elements for _, name in pieces)

    def _file_arguments(self, files: Sequence[str]) -> list[str]:
        arguments: list[str] = []
        for name in files:
            path = f".{os.sep}{name}" if name.startswith("-") else name
            arguments.extend(argument.replace("{file}", path) for argument in self.file_args)
        return arguments


def _pieces(word: str, placeholders: Sequence[str]) -> tuple[Piece, ...]:
    try:
        parsed = list(Formatter().parse(word))
    except ValueError as error:
        raise ConfigError(
            (f"{str(error).lower()} in {word!r}; write {{{{ and }}}} for plain braces",)
        ) from None
    pieces: list[Piece] = []
    for text, name, spec, conversion in parsed:
        if name is not None and (name not in placeholders or spec or conversion):
            close = get_close_matches(name, placeholders, n=1)
            hint = (
                f'did you mean "{{{close[0]}}}"?'
                if close
                else "known: " + ", ".join(f"{{{known}}}" for known in placeholders)
            )
            raise ConfigError((f'unknown placeholder "{{{name}}}" in {word!r}; {hint}',))
        pieces.append((text, name))
    if any(name == "files" for _, name in pieces) and pieces != [("", "files")]:
        raise ConfigError((f'"{{files}}" must stand alone, got {word!r}',))
    return tuple(pieces) or (("", None),)


def _refuse_option(service: str, what: str, argument: str) -> None:
    if argument.startswith("-"):
        raise InvalidCallError(
            service,
            f'the {what} begins with "-" and would be read as an option; '
            + (
                "give it by standard input (a command_template without {prompt}) "
                "or begin it with another character"
                if what == "prompt"
                else "name a model"
            ),
        )


def _check_argument(service: str, argument: str) -> None:
    if "\0" in argument:
        raise InvalidCallError(
            service,
            "a NUL character cannot be part of an argument; remove it, or give the prompt by "
            "standard input (a command_template without {prompt})",
        )
    try:
        size = len(argument.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise InvalidCallError(
            service,
            f"an argument has a lone surrogate at position {error.start}, which no encoding can "
            "carry; decode its source with errors='replace'",
        ) from None
    if size > MAX_ARGUMENT_BYTES:
        raise PromptTooLargeError(
            service,
            f"an argument of {size:,} bytes cannot be executed (at most {MAX_ARGUMENT_BYTES:,}); "
            "give the prompt by standard input (a command_template without {prompt})",
        )
