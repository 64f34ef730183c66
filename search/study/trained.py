"""What all runs of a study say of some of the networks that it has trained."""

from collections.abc import Sequence

from search.posterior.networks import Networks
from search.posterior.sampler import Known
from search.posterior.telling import told_among
from search.study.stored import Study


def read_networks(study: Study, trial_ids: Sequence[int]) -> Networks | None:
    """Return what is believed of the networks of trials, in their order; None of a study that does not
    search, and where the parameters of one are none of the space's.
    """
    if not study.spec.purpose.searches:
        return None
    with study.engine.connect() as connection:
        trials = study.history.read(connection)
    known = Known(study.ground, study.optuna, trials, study.learned)
    place_of = {source._trial_id: place for place, source in enumerate(known.sources)}
    if not all(trial_id in place_of for trial_id in trial_ids):
        return None
    wanted = [place_of[trial_id] for trial_id in trial_ids]
    believer = known.from_runs(sorted({*told_among(known.sources), *wanted}))
    configs = [known.runs[place].values for place in wanted]
    return Networks.believed(believer, configs, known.carried.some(wanted))
