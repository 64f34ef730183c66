"""The version of what a config means: raise it when the same config, data and seed would give another score."""

OBJECTIVE_VERSION = "4"
