"""Changed frames for training: transforms of light and shape, and pasted pieces."""
