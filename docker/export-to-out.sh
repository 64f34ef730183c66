#!/bin/sh
# `search export-best --out /out`, with the bundle handed to the person who called it.
#
# Docker creates a missing ./out as root, and no shell exports UID. So this starts as root, exports as the image's user
# (who may read the artifacts), and gives what that wrote to the owner of ./out, or of the project folder when root made it.
set -eu

owner=$(stat -c %u:%g /out)
[ "$owner" != 0:0 ] || owner=$(stat -c %u:%g /project)
hand_over() { chown -R --from=search:search "$owner" /out; }

chown search:search /out
trap hand_over EXIT
trap 'exit 130' INT TERM
HOME=/home/search setpriv --reuid=search --regid=search --init-groups search export-best --out /out "$@"
