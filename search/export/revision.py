"""Which program this is: the git revision of its checkout, else the version of the installed
package.
"""

import subprocess
from functools import cache
from pathlib import Path

from search.program import PACKAGE, program_version

CHECKOUT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 10.0


@cache
def program_revision(checkout: Path = CHECKOUT) -> str:
    """``git 0123abc...`` of the checkout that the program runs from, and whether files differ from
    it; else its version.
    """
    if (checkout / ".git").exists() and (commit := _git(checkout, "rev-parse", "--verify", "HEAD")):
        changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
        return f"git {commit}, with uncommitted changes" if changed else f"git {commit}"
    known = program_version()
    return f"{PACKAGE} {known}" if known else f"{PACKAGE}, version unknown"


def _git(checkout: Path, *words: str) -> str:
    """Return what git says; nothing where it is not there or refuses, as with a checkout of another
    user.
    """
    command = ["git", "--no-optional-locks", "-C", str(checkout), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip()
