"""Frames of any size seen in windows of one size, and what is said of each put together again. Imports no torch."""
