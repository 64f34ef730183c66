"""The sections of the report, one function each: what is not there yet gives empty markup, and is
left out.
"""
