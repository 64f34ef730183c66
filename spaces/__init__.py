"""What a search may vary: domains, presets, the reading and checking of a space file. Knows no torch and no Optuna."""

from spaces.domains import Fixed
from spaces.file import load_space, preset_names
from spaces.source import FromParams, Source
from spaces.space import Row, Space

__all__ = ["Fixed", "FromParams", "Row", "Source", "Space", "load_space", "preset_names"]
