#!/usr/bin/env bash
# Runs tests/runtime_only in .venv310: Python 3.10 and the base install, what a Jetson with JetPack 6
# has (NumPy 2.2, onnxruntime 1.23, no torch). $DREAMVLA_TEST_BUNDLE names a bundle made elsewhere.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
tools/setup.sh .venv310 3.10 -e . hypothesis pytest pytest-timeout || status=$?
if [ "$status" -eq 3 ]; then
    echo "python310: NOT RUN, there is no Python 3.10 here: nothing is known about JetPack 6" >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"
[ -n "${DREAMVLA_TEST_BUNDLE:-}" ] ||
    echo "python310: DREAMVLA_TEST_BUNDLE is not set, so the tests that open a bundle are skipped" >&2
exec .venv310/bin/pytest -m runtime_only tests/runtime_only -rs
