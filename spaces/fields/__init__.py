"""The config as a flat list of fields, and the conditions between them."""
