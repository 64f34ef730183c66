"""``search doctor``: what a machine has and lacks for a search."""
