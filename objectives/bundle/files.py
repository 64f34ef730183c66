"""The files of a bundle, verified: everything but its networks. Imports no torch, so that ONNX
alone can predict.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from objectives.bundle.provenance import Provenance
from objectives.config.foreign import lacking_parts
from objectives.data.spec import FrameSpec
from objectives.errors import UserError, listed, one_line
from objectives.program.settings import FORMAT_VERSION, ProgramSettings, read_settings

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
ONNX = "model.onnx"
TORCH_EXPORT = "model.pt2"
METRICS = "metrics.json"
FRAMES = "frames.json"
CARD = "README.md"
FILES = (WEIGHTS, CONFIG, ONNX, TORCH_EXPORT, METRICS, FRAMES, CARD)
ADDED = frozenset({TORCH_EXPORT})  # that bundles of the old format lack
SUMS = "SHA256SUMS"

# what reading values of another version, or of a forger, may raise
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)


@dataclass(frozen=True)
class BundleFiles:
    """A bundle's verified files, and what the readable ones say; ``frames`` are the frame hashes of
    each part.
    """

    directory: Path
    settings: ProgramSettings
    provenance: Provenance
    frames: Mapping[str, frozenset[str]]
    contents: Mapping[str, bytes]


def open_bundle(directory: Path, *, networks: bool = True) -> BundleFiles:
    """Return the files of the bundle in ``directory``, after their checksums were verified; nothing
    in them is run.

    Without ``networks`` its settings do not say which they are: the exported programs need no
    package that brought one.

    Raises:
        UserError: It is no bundle, a file is missing or was changed, another version wrote it, or a
            package lacks.
    """
    contents = _verified(directory)
    with readable(directory):
        stored = json.loads(contents[CONFIG])
        metrics = json.loads(contents[METRICS])
        provenance = Provenance.model_validate(
            {name: metrics[name] for name in metrics.keys() & Provenance.model_fields}
        )
    lacking = lacking_parts(provenance.foreign)
    if lacking and networks:
        raise UserError(
            f"{directory}: {lacking[0]}; or label images without it by `search predict --engine "
            f"onnx`"
        )
    with readable(directory):
        settings = read_settings(stored, networks=not lacking)
        _refuse_other_classes(metrics["class_names"], provenance, settings.spec)
        frames = {
            part: frozenset(map(str, hashes))
            for part, hashes in json.loads(contents[FRAMES]).items()
        }
    if stored["format"] == FORMAT_VERSION:
        _refuse_missing(directory, [name for name in ADDED if name not in contents])
    return BundleFiles(directory, settings, provenance, frames, contents)


@contextmanager
def readable(directory: Path, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever reading the values of a bundle raises, ``more`` among it, into one line.

    Raises:
        UserError: Another version wrote it.
    """
    expected: tuple[type[Exception], ...] = (*UNREADABLE, *more)
    try:
        yield
    except expected as error:
        reason = one_line(_reason(error) or type(error).__name__, 200)
        raise UserError(
            f"{directory} was written by another version of this program: {reason}; export it again"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first, *more = error.errors(include_url=False)
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" + (f", and {len(more)} more" if more else "")
    return " ".join(str(error).split())


def refuse_taken(directory: Path, *, force: bool = False) -> None:
    """Refuse a ``directory`` that holds something else than a bundle, or one without ``force``.

    Raises:
        UserError: Something is there that must not be replaced.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(
            f"{directory} is a file, a bundle is a directory; choose another one with --out"
        )
    there = sorted(_names_in(directory))
    if not there:
        return
    if not {SUMS, CONFIG} <= set(there):
        raise UserError(
            f"{directory} is not empty and holds no bundle; choose another directory with --out"
        )
    if not force:
        raise UserError(
            f"{directory} already holds a bundle; choose another directory with --out, or replace "
            f"it with --force"
        )
    if added := [name for name in there if name not in (*FILES, SUMS)]:
        raise UserError(
            f"{directory} holds more than a bundle: {listed(map(one_line, added))}; move that "
            f"away, or choose another --out"
        )
    if _card_is_edited(directory):
        raise UserError(
            f"somebody has edited {directory / CARD}; move it away, or choose another --out"
        )


def _names_in(directory: Path) -> list[str]:
    """Return what stands in a directory, but for the drafts of exports that were killed."""
    if not directory.exists():
        return []
    draft = f".{directory.resolve().name}."
    return [entry.name for entry in directory.iterdir() if not entry.name.startswith(draft)]


def _card_is_edited(directory: Path) -> bool:
    """Return whether the card, the one file of a bundle that people write in, is another than the
    export's.
    """
    try:
        card = (directory / CARD).read_bytes()
        sums = (directory / SUMS).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):  # moved away, or damaged
        return False
    return f"{hashlib.sha256(card).hexdigest()}  {CARD}\n" not in sums


def _verified(directory: Path) -> dict[str, bytes]:
    """Return the contents of all files, each checked against SHA256SUMS; without what an old bundle
    lacks.
    """
    if not (directory / SUMS).is_file():
        raise UserError(
            f"{directory} is no bundle: it has no {SUMS}; give the directory that `search "
            f"export-best` wrote"
        )
    try:
        lines = (directory / SUMS).read_text(encoding="ascii").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if outside := [name for name in sums if Path(name).name != name]:
            raise UserError(
                f"{directory} is no bundle: {SUMS} names {one_line(outside[0])}, which lies outside"
            )
        there = {name: (directory / name).is_file() for name in FILES}
        wanted = [name for name in FILES if name in sums or there[name] or name not in ADDED]
        _refuse_missing(directory, [name for name in wanted if not there[name] or name not in sums])
        contents = {name: (directory / name).read_bytes() for name in wanted}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{directory} cannot be read: {error}") from error
    changed = [
        name
        for name, content in contents.items()
        if hashlib.sha256(content).hexdigest() != sums[name]
    ]
    if changed:
        raise UserError(
            f"{directory} was changed after it was written: {', '.join(changed)} not as in {SUMS}; "
            f"export it again"
        )
    return contents


def _refuse_missing(directory: Path, names: list[str]) -> None:
    if names:
        raise UserError(
            f"{directory} is not whole: {', '.join(names)} missing (or not in {SUMS}); export it "
            f"again"
        )


def _refuse_other_classes(names: object, provenance: Provenance, spec: FrameSpec) -> None:
    if names != list(spec.class_names):
        raise ValueError(f"{METRICS} and {CONFIG} name other classes")
    for part in (provenance.validation, provenance.test):
        if part is not None and len(part.iou) != spec.num_classes:
            raise ValueError(f"{METRICS} has {len(part.iou)} IoU for {spec.num_classes} classes")
