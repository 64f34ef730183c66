#!/bin/sh
# `search export-best`, with the bundle handed to the person who called it.
#
# Docker creates a missing ./out as root, and no shell exports UID. So this starts as root, exports as the image's user
# (who may read the artifacts), copies the bundle to /out and gives it to the owner of the project folder, seen at /project.
set -eu

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
chown search:search "$staging"
cd "$staging"
HOME=/home/search setpriv --reuid=search --regid=search --init-groups search export-best --out out "$@"
[ -d out ] || exit 0 # --help

owner=$(stat -c %u:%g /out)
[ "$owner" != 0:0 ] || owner=$(stat -c %u:%g /project)
chown -R "$owner" out
chown "$owner" /out
cp -a out/. /out/
