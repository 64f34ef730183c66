"""Several models as one: which members, combined how, and judged on what."""
