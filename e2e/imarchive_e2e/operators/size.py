"""How much a story does: little enough for each run of CI, or, by e2e/faults, all of it."""

import os

FULL = os.environ.get("IMARCHIVE_FAULTS") == "full"
