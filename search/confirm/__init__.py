"""The confirmation of a search: what is trained again, and what that says."""
