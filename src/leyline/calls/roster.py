"""The services of one registry, by name, in the order of registration."""

from leyline.calls.service import Service
from leyline.errors import ServiceExistsError, ServiceNotFoundError


class Roster(dict[str, Service]):
    """Services by name."""

    def add(self, service: Service, *, replace: bool) -> None:
        """Add *service*. Raises ServiceExistsError if its name is taken and *replace* not set."""
        name = service.config.name
        if name in self and not replace:
            raise ServiceExistsError(name)
        self[name] = service

    def find(self, name: str) -> Service:
        """The service *name*. Raises ServiceNotFoundError."""
        try:
            return self[name]
        except KeyError:
            raise ServiceNotFoundError(name, tuple(self)) from None

    def holds(self, service: Service) -> bool:
        """Whether *service* has been neither replaced nor removed since it was looked up."""
        return self.get(service.config.name) is service

    def secret_variables(self) -> frozenset[str]:
        """The variables that hold the keys of all services."""
        return frozenset(s.config.auth_env_var for s in self.values() if s.config.auth_env_var)
