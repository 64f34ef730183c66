"""Data for a command that has no cache of its own: what lies in a bucket goes into the user's."""

from search.artifacts.sources import is_bucket
from search.place import name_cache
from search.study.data_path import here


def found_here(source: str) -> str:
    """Return what a data source is on this host, as `here`."""
    return here(source, name_cache(None, None)) if is_bucket(source) else source
