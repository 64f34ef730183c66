"""The worker: claims trials, runs them, and ends them."""
