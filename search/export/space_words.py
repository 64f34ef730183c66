"""The words of a command that lead to a study's space."""

from objectives.errors import UserError
from search.study.spec import StudySpec
from spaces import Space, load_space, preset_names
from spaces.files.stored import stored_weights
from spaces.fitting import fit_space
from spaces.starting import fit_weights

ANOTHER_SPACE = "SPACE.yaml"  # what stands for a space that no preset leads to


def space_words(spec: StudySpec, num_classes: int) -> list[str]:
    """Return the preset and settings that lead to the study's space; where none do, a file's name
    stands for it.
    """
    presets = {name: load_space(name) for name in preset_names()}
    wanted = spec.space["domains"]
    for name, _ in sorted(presets.items(), key=lambda item: len(_differing(item[1], wanted))):
        for sets in ([], sets_for(presets[name], wanted)):
            if leads_to(name, sets, num_classes, spec):
                return ["--space", name, *(word for each in sets for word in ("--set", each))]
    return ["--space", ANOTHER_SPACE]


def _differing(space: Space, wanted: dict[str, object]) -> list[str]:
    ours = {path: domain.to_yaml() for path, domain in space.domains.items()}
    return sorted(path for path, written in wanted.items() if ours.get(path) != written)


def sets_for(space: Space, wanted: dict[str, object]) -> list[str]:
    """Return the settings that make a space's domains the wanted ones."""
    return [f"{path}={_flow(wanted[path])}" for path in _differing(space, wanted)]


def _flow(written: object) -> str:
    import yaml

    return (
        str(yaml.safe_dump(written, default_flow_style=True, width=10_000))
        .removesuffix("\n...\n")
        .strip()
    )


def leads_to(name: str, sets: list[str], num_classes: int, spec: StudySpec) -> bool:
    """Return whether a preset with these settings is a study's space."""
    try:
        fitted, _ = fit_space(load_space(name, sets), num_classes)
        fitted = fit_weights(fitted, stored_weights(spec.space))
    except UserError:
        return False
    return fitted.fingerprint == spec.space_fingerprint
