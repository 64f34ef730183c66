"""Parts of queries that mean the same wherever they stand. All times are by the server's clock."""

# a worker holds the trial; NULL where nobody ever has
LIVE_LEASE = "expires_at > clock_timestamp()"
NO_LIVE_LEASE = "(expires_at IS NULL OR expires_at <= clock_timestamp())"
ALIVE_WORKER = "ended_at IS NULL AND seen_at > clock_timestamp() - interval '60 seconds'"

# seconds that workers have held a trial, of ``trials`` joined with ``search_lease``
DEVICE_SECONDS = f"""(spent_s + CASE WHEN trials.state = 'RUNNING' AND {LIVE_LEASE}
                                     THEN extract(epoch FROM clock_timestamp() - renewed_at) ELSE 0 END)"""

# those that are there: Optuna's row, and ours
STUDIES = "search_study JOIN studies USING (study_id)"

# the SHA-256 of the weights that the studies which are there were given, as column sha256
GIVEN_WEIGHTS = f"""(SELECT given -> 'start' ->> 'sha256' AS sha256
                     FROM {STUDIES}, json_array_elements(spec #> '{{space,weights}}') AS given) AS given_weights"""
