"""A study: what decides it, how it is stored, its budget, and what it is doing."""
