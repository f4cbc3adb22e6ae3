#!/usr/bin/env bash
# Makes .venv-pycuda, in which tests/kernels/test_pycuda_device.py runs our launcher on PyCUDA itself.
#
# PyCUDA has no wheels: it is compiled with the headers of NVIDIA's wheels and linked to an empty
# libcuda, since which one it speaks to is settled when it is loaded. Left out is CURAND alone, whose
# library is large.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv-pycuda version=2026.1
tools/setup.sh "$venv" "3.11 3.12 3.10" -e . cuda-bindings nvidia-cuda-nvrtc \
    nvidia-cuda-runtime==13.5.37 nvidia-cuda-profiler-api==13.5.25
compgen -G "$venv/lib/python3*/site-packages/pycuda-$version.dist-info" >/dev/null && exit 0

echo "pycuda: compiling PyCUDA $version into $venv (2 minutes)" >&2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo | gcc -shared -Wl,-soname,libcuda.so.1 -x c - -o "$folder/libcuda.so"
CPATH=$(echo "$PWD/$venv"/lib/python3*/site-packages/nvidia/cu13/include)
export CPATH LIBRARY_PATH=$folder LDFLAGS=-Wl,--no-as-needed,-z,lazy
"$venv/bin/python" -m pip install --disable-pip-version-check --no-cache-dir -c constraints.txt \
    --config-settings=--build-option=--conf:CUDA_ENABLE_CURAND=False "pycuda==$version" >&2
