"""Scores of a model on labelled frames."""
