#!/usr/bin/env bash
# From a fresh clone to a moving arm: sets up what the demo needs and nothing else (no torch), runs
# it, and says what was downloaded and how long both took. A .venv that is there is used.
#
#   tools/demo.sh [options of `dreamvla demo`]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

begin=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT
venv=.venv
[ -s .venv/installed ] || venv=.venv-demo
{
    tools/system.sh draw || true # the demo itself says what is missing
    if [ $venv = .venv ]; then
        tools/setup.sh
    else
        tools/setup.sh .venv-demo "3.11 3.12 3.13 3.10" -e ".[sim]"
    fi
} 2>&1 | tee "$log" >&2

# What pip ("Downloading x.whl (12.3 MB)") and apt ("Need to get 4,567 kB of archives") say.
downloaded_mb=$(awk '
    /Downloading .*\(.*B\)/ { n = $(NF - 1); unit = $NF }
    /^Need to get / { n = $4; unit = $5 }
    n != "" {
        gsub(/[(,]/, "", n); gsub(/[)]/, "", unit)
        sum += n * (unit ~ /^[kK]/ ? 0.001 : unit ~ /^G/ ? 1000 : unit ~ /^M/ ? 1 : 0.000001)
        n = ""
    }
    END { printf "%.0f", sum }' "$log")
download_s=$((SECONDS - begin))

begin=$SECONDS
$venv/bin/dreamvla demo "$@"
echo "downloaded $downloaded_mb MB, download_s $download_s, work_s $((SECONDS - begin))"
