"""Training: batches, steps, state, and one result an epoch."""
