"""What a bundle, and the lines that make it again, say of the weights that its study was given."""

from objectives.bundle.provenance import StartedFrom
from objectives.config import HUB, GivenWeights, Startable
from objectives.errors import one_line
from search.export.exported_program import ExportedProgram
from search.study.spec import StudySpec
from search.study.stored import Study
from spaces.files.stored import stored_weights


def weights_of(study: Study, candidate: ExportedProgram) -> tuple[StartedFrom, ...]:
    """Return the weights that the networks of a candidate started from, as its study was given
    them.
    """
    models = [member.config.model for member in candidate.settings.members]
    starts = {model.start for model in models if isinstance(model, Startable)}
    found = (
        StartedFrom(name=each.name, sha256=each.sha256, source=each.source, licence=each.licence)
        for each in study.space.weights
        if each.start in starts
    )
    return tuple(dict.fromkeys(found))  # one file may be for several kinds of networks


def weights_lines(spec: StudySpec) -> list[str]:
    """Return comments on the files and bundles that a study was given."""
    return [
        f"# {file}: "
        + (
            f"{one_line(each.source)}, the file with SHA-256 {each.sha256}"
            if each.start.extent == "encoder"
            else f"the folder of the bundle of {one_line(each.source)}"
        )
        for file, each in _files(spec).items()
    ]


def weights_words(spec: StudySpec) -> list[str]:
    """Return what follows ``--weights``, each time, of a study that was given some."""
    fetched = any(each.name == HUB for each in stored_weights(spec.space))
    named = [f"{each.name}={file}" for file, each in _files(spec).items()]
    return [*([HUB] if fetched else []), *named]


def _files(spec: StudySpec) -> dict[str, GivenWeights]:
    """Return what was given by names that stand for its places, once each."""
    return {
        f"{each.name}-{each.sha256[:8]}": each
        for each in stored_weights(spec.space)
        if each.name != HUB
    }
