"""The service: studies, leases, workers, artifacts, export and the command line."""
