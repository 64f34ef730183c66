"""From a person's YAML to a space."""
