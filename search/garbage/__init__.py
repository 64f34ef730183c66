"""``search gc``: what no study needs any more, in the store and in a host's cache."""
