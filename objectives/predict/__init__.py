"""Masks for new images, by torch or by ONNX Runtime alone."""
