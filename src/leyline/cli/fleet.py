"""Which services there are: those of the configuration, else those that were found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from leyline import services
from leyline.cli.exits import CommandLineError, NoUsableServiceError
from leyline.config import ServiceConfig
from leyline.errors import ServiceNotFoundError
from leyline.service_registry import ServiceRegistry

ENVIRONMENT: Final = "environment"
INSTALLED: Final = "installed"
ASKED_FOR: Final = "command line"


@frozen(kw_only=True)
class Fleet:
    """The services of one command, and where each comes from.

    registry: All of them. origins: By name, the path of the configuration, or how it was found.
    file: The configuration. None: there is none.
    """

    registry: ServiceRegistry
    origins: Mapping[str, str]
    file: Path | None

    @classmethod
    def find(cls, config: str | None, *, names: Sequence[str] = ()) -> "Fleet":
        """The services of the configuration; with none, of the environment and those installed.

        config: Its path. None: looked for where it may be.
        names: Known tools among them are there without a configuration, installed or not.
        Raises ConfigError with every problem of the configuration.
        """
        file = Path(config) if config is not None else services.find_config_file()
        if file is not None:
            configs = services.load(file)
            origins = dict.fromkeys(configs, str(file.absolute()))
        else:
            origins = _origins(names)
            configs = services.from_mapping(dict.fromkeys(origins), source=ENVIRONMENT)
        return cls(registry=_register(configs), origins=origins, file=file)

    def require(self) -> None:
        """Raise NoUsableServiceError if there is none at all."""
        if not self.registry.services:
            raise NoUsableServiceError(self.why_empty())

    def why_empty(self) -> str:
        """Why there is no service, and what to do."""
        if self.file is not None:
            return f'there is no service in {self.file}; name one under "services:"'
        known = ", ".join(services.preset_names())
        return (
            f"there is no configuration, and none of the tools known is installed ({known}); "
            "install one, or write a services.yaml (leyline init)"
        )

    def check(self, name: str) -> None:
        """Raise if *name* is none of these services: CommandLineError that says how to make it one
        if it is a known tool, else ServiceNotFoundError.
        """
        here, tools = tuple(self.registry.services), services.preset_names()
        if name in here:
            return
        if self.file is None or name not in tools:
            known = here if self.file is not None else tuple(dict.fromkeys((*here, *tools)))
            raise ServiceNotFoundError(name, known)
        toml = self.file.suffix.lower() == ".toml"
        line = f'"[services.{name}]"' if toml else f'a line "{name}:" under "services:"'
        raise CommandLineError(
            f'the tool "{name}" is not one of the services in {self.file}; add {line} there'
        )


def _origins(names: Sequence[str]) -> dict[str, str]:
    """Where each service comes from that is there without a configuration, in their usual order."""
    found = dict.fromkeys((tool.name for tool in services.discover()), INSTALLED)
    spoken_of = dict.fromkeys(services.load(), ENVIRONMENT)
    origins = {**dict.fromkeys(names, ASKED_FOR), **spoken_of, **found}
    return {name: origins[name] for name in services.preset_names() if name in origins}


def _register(configs: Mapping[str, ServiceConfig]) -> ServiceRegistry:
    registry = ServiceRegistry()
    for name, config in configs.items():
        registry.register(name, config)
    return registry
