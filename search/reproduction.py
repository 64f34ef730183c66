"""The commands that make a study and its model again, in words for a shell."""

import shlex

from objectives.errors import UserError
from search.spec import StudySpec
from search.winner import Winner
from spaces import Space, load_space, preset_names
from spaces.classes import fit_space

ANOTHER_SPACE = "SPACE.yaml"  # what stands for a space that no preset leads to


def reproduction(spec: StudySpec, winner: Winner, num_classes: int, program: str, export: str) -> tuple[str, ...]:
    """The commands from the program to the bundle: of ``program``, the study ``spec``, its confirmation, and ``export``.

    A study is the same again with the same trials in the same order, which more than one worker at a time does not promise.
    """
    commands = [init_command(spec, num_classes), shlex.join(["search", "worker", "--study", spec.name])]
    if program.startswith("git "):
        commands.insert(0, f"git checkout {program.split()[1].rstrip(',')}")
    if winner.study.spec.confirm.seeds:
        commands.append(_confirm_command(winner.study.spec))
    return (*commands, export)


def init_command(spec: StudySpec, num_classes: int) -> str:
    """``search init`` with every option in which the study differs from what that command does by itself."""
    words = ["search", "init", "--study", spec.name, "--data", spec.source, *_space_words(spec, num_classes)]
    words += ["--trials", str(spec.trials), "--seed", str(spec.seed)]
    options = {
        "--gpu-hours": f"{spec.gpu_s / 3600:.15g}" if spec.gpu_s else "",
        "--until": f"{spec.until_s:.15g}s" if spec.until_s else "",
        "--size": f"{spec.size[0]}x{spec.size[1]}" if spec.size else "",
        "--min-identical": str(spec.min_identical),
        "--min-labelled": f"{spec.min_labelled:.15g}" if spec.min_labelled else "",
        "--max-deviation": f"{spec.max_deviation:.15g}" if spec.max_deviation else "",
        "--ignore": spec.ignore,
        "--exif": spec.exif if spec.exif != "turn" else "",
        "--scored": ",".join(map(str, spec.scored)),
        "--recipes": ",".join(spec.recipes),
    }
    return shlex.join(words + [word for option, value in options.items() if value for word in (option, value)])


def _space_words(spec: StudySpec, num_classes: int) -> list[str]:
    """The preset and settings that lead to the study's space; where none do, a file's name stands for it."""
    presets = {name: load_space(name) for name in preset_names()}
    wanted = spec.space["domains"]
    for name, _ in sorted(presets.items(), key=lambda item: len(_differing(item[1], wanted))):
        for sets in ([], _sets(presets[name], wanted)):
            if _leads_to(name, sets, num_classes, spec.space_fingerprint):
                return ["--space", name, *(word for each in sets for word in ("--set", each))]
    return ["--space", ANOTHER_SPACE]


def _differing(space: Space, wanted: dict[str, object]) -> list[str]:
    ours = {path: domain.to_yaml() for path, domain in space.domains.items()}
    return sorted(path for path, written in wanted.items() if ours.get(path) != written)


def _sets(space: Space, wanted: dict[str, object]) -> list[str]:
    return [f"{path}={_flow(wanted[path])}" for path in _differing(space, wanted)]


def _flow(written: object) -> str:
    import yaml

    return str(yaml.safe_dump(written, default_flow_style=True, width=10_000)).removesuffix("\n...\n").strip()


def _leads_to(name: str, sets: list[str], num_classes: int, fingerprint: str) -> bool:
    try:
        fitted, _ = fit_space(load_space(name, sets), num_classes)
    except UserError:
        return False
    return fitted.fingerprint == fingerprint


def _confirm_command(spec: StudySpec) -> str:
    confirm = spec.confirm
    top = max(1, len(confirm.candidates) - 1)  # the control is one of them
    words = ["search", "confirm", "--study", confirm.study, "--top", str(top), "--seeds", str(confirm.seeds)]
    return shlex.join([*words, *([] if confirm.resplit else ["--no-resplit"])])
