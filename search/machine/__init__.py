"""The host: cores, GPUs, and who has claimed them."""
