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
    LedgerError,
    LeylineError,
    PromptTooLargeError,
    QuotaExceededError,
    RegistryClosedError,
    RejectedError,
    ServiceExistsError,
    ServiceNotFoundError,
    SpawnError,
)
from leyline.events import Event, QuotaLevelChanged
from leyline.limits import QuotaLevel
from leyline.model import (
    ExecutionResult,
    Failure,
    FailureKind,
    HealthReport,
    HealthStatus,
    Priority,
    Usage,
)
from leyline.quota import QuotaStatus
from leyline.service_registry import ServiceRegistry

__all__ = [
    "AllServicesFailedError",
    "AuthMethod",
    "Clock",
    "CommandNotFoundError",
    "ConfigError",
    "ErrorPattern",
    "Event",
    "ExecutionResult",
    "Failure",
    "FailureKind",
    "FilesVia",
    "HealthReport",
    "HealthStatus",
    "InvalidCallError",
    "LedgerError",
    "LeylineError",
    "OutputConfig",
    "OutputFormat",
    "Priority",
    "PromptTooLargeError",
    "QuotaExceededError",
    "QuotaLevel",
    "QuotaLevelChanged",
    "QuotaStatus",
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
