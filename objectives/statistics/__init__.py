"""Scores from counts of pixels, and intervals around them."""
