"""Labelled frames: reading, checking, cutting into parts, and the prepared copy that all processes
share.
"""
