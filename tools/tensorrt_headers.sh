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
for version in 10.3 10.13; do
    folder=build/tensorrt-headers/$version
    [ -e "$folder/NvInferRuntime.h" ] && continue
    clone=$source
    if [ ! -d "$source" ]; then
        clone=$(mktemp -d)
        trap 'rm -rf "$clone"' EXIT
        GIT_TERMINAL_PROMPT=0 timeout 120 git clone -q --bare --depth 1 --filter=blob:none \
            --branch "release/$version" "$source" "$clone"
    fi
    mkdir -p "$folder"
    git --git-dir "$clone" archive "release/$version" include | tar -x -C "$folder" --strip-components=1
    echo "headers of TensorRT $version are in $folder" >&2
done
