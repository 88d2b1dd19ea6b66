"""Which of the tools that leyline knows are installed."""

from attrs import frozen

from leyline.errors import CommandNotFoundError
from leyline.program import find_program
from leyline.services.presets import preset_names, read_preset


@frozen(kw_only=True)
class FoundTool:
    """A tool that is installed. name: Of its preset. program: Absolute path."""

    name: str
    program: str


def discover() -> tuple[FoundTool, ...]:
    """The known tools that are installed, in the order of ``preset_names``. Runs nothing."""
    found: list[FoundTool] = []
    for name in preset_names():
        try:
            program = find_program(name, read_preset(name)["command"])
        except CommandNotFoundError:
            continue
        found.append(FoundTool(name=name, program=program))
    return tuple(found)
