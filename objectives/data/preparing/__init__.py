"""From frames as they are read to the prepared copy: what is dropped, how the rest is cut, and how
it is written.
"""
