"""Readers of labelled frames: files, folders, npz, and generated terrain."""
