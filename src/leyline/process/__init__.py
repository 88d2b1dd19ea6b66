"""Run this argv, give me what it said, leave nothing behind. Knows nothing of AI or quotas."""

from leyline.process.environment import child_environment
from leyline.process.guardian import MARKER
from leyline.process.lifespan import Lifespan
from leyline.process.runner import Runner, Workspace

__all__ = ["MARKER", "Lifespan", "Runner", "Workspace", "child_environment"]
