"""From a study to a bundle: whose weights, put together how, and where they come from."""
