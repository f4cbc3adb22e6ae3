#!/usr/bin/env bash
# NVIDIA's public headers of TensorRT for `make test-all`, into build/tensorrt-headers/VERSION.
#
#   tools/tensorrt_headers.sh                            from github.com/NVIDIA/TensorRT
#   TENSORRT_GIT=CLONE tools/tensorrt_headers.sh         from a clone that is here
#
# They are Apache-licensed, and not part of this repository; without them the plugin is compiled
# against tests/kernels/tensorrt_double alone. Nothing is fetched twice.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source=${TENSORRT_GIT:-https://github.com/NVIDIA/TensorRT}
mkdir -p build/tensorrt-headers
work=$(mktemp -d build/tensorrt-headers/.new.XXXX)
trap 'rm -rf "$work"' EXIT
for version in 10.3 10.13; do
    folder=build/tensorrt-headers/$version
    [ -e "$folder" ] && continue
    clone=$source
    if [ ! -d "$source" ]; then
        clone=$work/$version.git
        GIT_TERMINAL_PROMPT=0 timeout 120 git clone -q --bare --depth 1 --filter=blob:none \
            --branch "release/$version" "$source" "$clone"
    fi
    # A bare clone has the branch itself, one with a work tree that of its origin.
    for branch in {,origin/}release/$version; do
        git -C "$clone" rev-parse -q --verify "$branch^{commit}" >"$work/commit" && break
    done || {
        echo "tensorrt_headers: $clone has no branch release/$version; fetch it there" >&2
        exit 1
    }
    git -C "$clone" archive "$(cat "$work/commit")" include | tar -x -C "$work"
    mv "$work/include" "$folder"
    echo "headers of TensorRT $version are in $folder" >&2
done
