#!/usr/bin/env bash
# Makes a virtual environment and installs this checkout into it; does nothing when it is up to date.
#
#   tools/setup.sh                            .venv with all that development needs
#   tools/setup.sh .venv310 3.10 -e . pytest  another folder, another Python, other packages
#
# Exit codes: 3 no suitable Python, 4 a system package is missing; the message says how to get it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ $# -gt 0 ] || set -- .venv "3.11 3.12 3.13 3.10" -e ".[dev]"
venv=$1 versions=$2
shift 2
packages=$*
stamp=$venv/installed
cpu_wheels=https://download.pytorch.org/whl/cpu

say() { echo "setup: $*" >&2; }

# All that decides what the environment holds; scripts in it name its folder, so that comes first.
inputs() {
    pwd
    echo "$packages"
    "$venv/bin/python" --version
    cat pyproject.toml setup.py constraints.txt
}

# An interrupted run leaves no stamp, and what it left cannot be trusted.
repairable() {
    [ -s "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$PWD" ] && "$venv/bin/python" -m pip --version
}

# find_python MODULE: the path of the first Python in $versions that can import MODULE.
# realpath, because an activated $venv stands on the PATH too and is about to be removed.
find_python() {
    local version candidate
    for version in $versions; do
        for candidate in "python$version" "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/python \
            "$(uv python find --system "$version" 2>/dev/null)"; do
            "$candidate" -c "import os, sys, $1
if sys.version_info[:2] == (${version/./, }):
    print(os.path.realpath(sys.executable))
else:
    sys.exit(1)" 2>/dev/null && return
        done
    done
    return 1
}

need_python() {
    say "found no Python ${versions// /, }. Get one, then run this again:"
    say "  Debian, Ubuntu:  sudo apt-get install python3 python3-venv  (if its python3 is one of these)"
    say "  anywhere:        curl -LsSf https://astral.sh/uv/install.sh | sh; uv python install ${versions%% *}"
    exit 3
}

# Debian and Ubuntu keep ensurepip, without which there is no venv, in a package of its own.
need_venv() {
    local package
    package=$(basename "$1")-venv
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        say "$1 cannot make virtual environments. Run this, then run me again:"
        say "  sudo apt-get install $package"
        exit 4
    fi
    say "installing $package"
    DEBIAN_FRONTEND=noninteractive apt-get install -y "$package" >&2
}

if inputs 2>/dev/null | cmp -s - "$stamp"; then
    exit 0
fi
if ! repairable >/dev/null 2>&1; then
    if ! python=$(find_python ensurepip); then
        python=$(find_python sys) || need_python
        need_venv "$python"
    fi
    say "making $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
rm -f "$stamp"

set -- "$@" --disable-pip-version-check -c constraints.txt
# On Linux the torch of PyPI brings gigabytes of CUDA that nothing here uses.
if [ "$(uname -s)" = Linux ] && timeout 5 "$venv/bin/python" -c \
    "import urllib.request; urllib.request.urlopen('$cpu_wheels/torch/')" 2>/dev/null; then
    set -- "$@" --extra-index-url "$cpu_wheels"
fi
say "installing $packages into $venv (the first time takes minutes)"
"$venv/bin/python" -m pip install "$@" >&2
inputs >"$stamp"
say "$venv is ready"
