#!/usr/bin/env bash
# What runs on the GPU machine, in the root of the copied working tree:  bash .gpulab/on-device.sh [STEP...]
# Steps 1 to 8 by default (9, MPS, only when named); each has a time limit of its own, prints one line when it ends, and leaves
# its log in $OUT, so that a cut leaves the earlier ones. GPULAB_DEVICE=cpu runs everything at tiny sizes without a GPU.
# GPULAB_INSTALL=no installs nothing: GPULAB_PYTHON runs the steps with its own packages.
set -u
lab=$(cd "$(dirname "$0")" && pwd)
root=$PWD
steps=" ${*:-1 2 3 4 5 6 7 8} "
slow=${GPULAB_SLOW:-1} # times as long for each step, for a small machine without a GPU
total=$((${GPULAB_SECONDS:-540} * slow)) # of all steps
python=${GPULAB_PYTHON:-python3}
site=${GPULAB_SITE:-/tmp/site}
path=$site:$root
if [ "${GPULAB_INSTALL:-yes}" = no ]; then path=$root; fi
export OUT=${OUT:-/tmp/gpulab-out} GPULAB_DEVICE=${GPULAB_DEVICE:-cuda} GPULAB_WORK=${GPULAB_WORK:-/tmp/gpulab-run}
export PYTHONUNBUFFERED=1 NO_ALBUMENTATIONS_UPDATE=1 PYTHONPATH=$path PIP_DISABLE_PIP_VERSION_CHECK=1
[ "$GPULAB_DEVICE" = cuda ] || export CUDA_VISIBLE_DEVICES=
mkdir -p "$OUT" "$GPULAB_WORK"
chmod 755 "$GPULAB_WORK" # the embedded database has a user of its own
summary=$OUT/summary.txt
: >"$summary"

tell() { echo "$*" | tee -a "$summary"; }

install() {
  if [ -e "$site/.gpulab" ]; then return 0; fi
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" "$lab"/wheels/*.whl || return 1
  # what importlib.metadata says of the project, which runs from its tree
  local version info
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml")
  info=$site/segmentation_search-$version.dist-info
  mkdir -p "$info"
  printf 'Metadata-Version: 2.1\nName: segmentation-search\nVersion: %s\n' "$version" >"$info/METADATA"
  # hundreds of processes import these: each would compile them again
  "$python" -m compileall -q -j 0 "$site" "$root/objectives" "$root/search" "$root/spaces" >/dev/null 2>&1
  # the database refuses root; the wheel makes this user by useradd where it is there
  if ! id pgserver >/dev/null 2>&1 && ! useradd -s /bin/bash pgserver 2>/dev/null && [ "$(id -u)" = 0 ]; then
    echo 'pgserver:x:5433:5433::/tmp:/bin/bash' >>/etc/passwd
    echo 'pgserver:x:5433:' >>/etc/group
  fi
  touch "$site/.gpulab"
}

judge_tests() { # exit code of pytest, its last line with counts: skipped tests are no success on a GPU
  local word=BAD
  if [ "$1" = 0 ]; then word=ok; fi
  case $1$GPULAB_DEVICE$2 in 0cuda*skipped*) word=BAD ;; esac
  echo "$word $2"
}

step() { # number, most seconds, command
  local number=$1 most=$(($2 * slow)) left=$((total - SECONDS)) began=$SECONDS mark="gpulab-$1-$$" log code line
  shift 2
  case "$steps" in *" $number "*) ;; *) return 0 ;; esac
  if [ "$left" -lt 15 ]; then
    tell "STEP $number not run: $left s left of $total"
    return 0
  fi
  [ "$most" -lt "$left" ] || most=$left
  log=$OUT/step-$number.txt
  case $number in 1 | 9) log=$GPULAB_WORK/step-$number.txt ;; esac # short: it goes into the summary, and $OUT has few files
  GPULAB_MARK=$mark timeout --kill-after=8 "$most" "$@" >"$log" 2>&1
  code=$?
  "$python" -c "import sys; sys.path.insert(0, '$lab/lab'); import common; common.sweep('$mark')" 2>/dev/null
  line=$(grep '^VERDICT ' "$log" | tail -1 | cut -c9-)
  if [ "$number" = 2 ]; then
    line=$(judge_tests "$code" "$(tail -3 "$log" | grep -E 'passed|failed|skipped|error' | tail -1)")
  fi
  [ "$code" != 124 ] && [ "$code" != 137 ] || line="CUT OFF after $most s ${line:+($line)}"
  tell "STEP $number ${line:-BAD exit code $code, no verdict: $(tail -1 "$log" | cut -c1-200)} [$((SECONDS - began)) s]"
  if [ "$log" != "$OUT/step-$number.txt" ]; then sed 's/^/  /' "$log" >>"$summary"; fi
}

card=$(nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used,compute_mode,mig.mode.current --format=csv,noheader 2>&1)
tell "$(date -u +%FT%TZ) $(echo "$card" | head -4 | tr '\n' ';')"
if [ "${GPULAB_INSTALL:-yes}" = no ]; then
  tell "nothing is installed: $python with its own packages"
elif install; then
  tell "installed after $SECONDS s"
else
  tell "wheels cannot be installed"
  exit 1
fi
step 1 40 "$python" "$lab/lab/steps.py" versions
step 2 240 "$python" -m pytest tests/gpu -rs -W default -p no:cacheprovider --tb=short
step 3 160 "$python" "$lab/lab/steps.py" study
step 4 45 "$python" "$lab/lab/steps.py" precision
step 5 150 "$python" "$lab/lab/steps.py" kill
step 6 130 "$python" "$lab/lab/speed.py"
step 7 170 "$python" "$lab/lab/steps.py" hourly
step 8 80 "$python" "$lab/lab/steps.py" memory
step 9 110 "$python" "$lab/lab/steps.py" mps
tell "all done after $SECONDS s"
for log in "$OUT"/step-*.txt; do # only the end of each, for whoever sees no more than the end of what is printed
  [ -e "$log" ] || continue
  echo "--- $(basename "$log")"
  tail -c 1300 "$log"
done
echo "--- summary"
grep -E '^STEP|^all|^20' "$summary" | cut -c1-420
! grep -qE '^STEP [0-9]+ (BAD|CUT OFF)' "$summary"
