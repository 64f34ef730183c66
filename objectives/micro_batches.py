"""Training steps that do not fit into memory as a whole."""

from objectives.errors import WorldError


class DoesNotFitError(WorldError):
    """A step does not fit into the device's memory, however small its parts are."""
