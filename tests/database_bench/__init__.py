"""Measures what a database costs many workers, for one source tree after the other.

    bench_database.py (no search) --> servers, command --> side.py (one tree, one scene) --> workers

Only ``old_side`` and ``new_side`` know a tree's modules; each process imports one of them. No torch.
"""
