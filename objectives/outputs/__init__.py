"""Outputs: where they go, what may be replaced, and files and folders that appear at once."""
