"""The rows of trials: claims, leases, checkpoints."""
