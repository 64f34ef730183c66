"""A trial's own process, from both sides of its pipe."""
