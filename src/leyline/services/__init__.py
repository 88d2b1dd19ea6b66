"""What is this service? Configuration, presets and discovery. Runs nothing."""

from leyline.services.discovery import FoundTool, discover
from leyline.services.files import find_config_file
from leyline.services.loading import from_mapping, load
from leyline.services.presets import preset_names
from leyline.services.resolution import resolve

__all__ = [
    "FoundTool",
    "discover",
    "find_config_file",
    "from_mapping",
    "load",
    "preset_names",
    "resolve",
]
