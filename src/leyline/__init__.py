"""Every AI command-line tool behind one ``await``."""

from leyline.clock import Clock
from leyline.config import (
    AuthMethod,
    ErrorPattern,
    FilesVia,
    OutputConfig,
    OutputFormat,
    ServiceConfig,
    Stream,
)
from leyline.errors import (
    AllServicesFailedError,
    CommandNotFoundError,
    ConfigError,
    InvalidCallError,
    LeylineError,
    PromptTooLargeError,
    RegistryClosedError,
    RejectedError,
    ServiceExistsError,
    ServiceNotFoundError,
    SpawnError,
)
from leyline.model import (
    ExecutionResult,
    Failure,
    FailureKind,
    HealthReport,
    HealthStatus,
    Usage,
)
from leyline.service_registry import ServiceRegistry

__all__ = [
    "AllServicesFailedError",
    "AuthMethod",
    "Clock",
    "CommandNotFoundError",
    "ConfigError",
    "ErrorPattern",
    "ExecutionResult",
    "Failure",
    "FailureKind",
    "FilesVia",
    "HealthReport",
    "HealthStatus",
    "InvalidCallError",
    "LeylineError",
    "OutputConfig",
    "OutputFormat",
    "PromptTooLargeError",
    "RegistryClosedError",
    "RejectedError",
    "ServiceConfig",
    "ServiceExistsError",
    "ServiceNotFoundError",
    "ServiceRegistry",
    "SpawnError",
    "Stream",
    "Usage",
]
