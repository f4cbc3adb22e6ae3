#!/usr/bin/env bash
# Runs tests/runtime_only in .venv310: Python 3.10 and the base install, what a Jetson with JetPack 6
# has (NumPy 2.2, onnxruntime 1.23, no torch). The bundle is made by .venv, or named by
# $DREAMVLA_TEST_BUNDLE.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

status=0
tools/setup.sh .venv310 3.10 -e . hypothesis pytest pytest-timeout || status=$?
if [ "$status" -eq 3 ]; then
    echo "python310: NOT RUN, there is no Python 3.10 here: nothing is known about JetPack 6" >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"
if [ -z "${DREAMVLA_TEST_BUNDLE:-}" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    DREAMVLA_TEST_BUNDLE=$(.venv/bin/python tools/make_test_bundle.py "$folder")
    export DREAMVLA_TEST_BUNDLE
fi
.venv310/bin/pytest -m runtime_only tests/runtime_only
