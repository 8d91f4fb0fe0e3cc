#!/bin/sh
# fetch-gpu.sh LIB/gpu: fetches ONNX Runtime for CUDA and NVIDIA's libraries by gpu.txt beside this script, whose SHA-256 digests pip checks, and puts the libraries into the folder.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
lib=$(CDPATH= cd -- "$1" && pwd)
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the pinned libraries are for Linux x86_64, this is $(uname -sm)" >&2; exit 3; }
python3 -m pip --version >/dev/null 2>&1 || { echo "Python 3 with pip is needed to fetch the CUDA libraries: install python3 and python3-pip" >&2; exit 3; }
free=$(df -Pk "$lib" | awk 'NR == 2 {print int($4 / 1048576)}')
[ "$free" -ge 5 ] || { echo "the CUDA libraries need 5 GB of disk while they are fetched and 2 GB afterwards; $lib has $free" >&2; exit 3; }
echo "fetching ONNX Runtime for CUDA and NVIDIA's libraries (1.4 GB), once"
work=$(mktemp -d "$lib/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
# The wheel is that of one Python version, whichever runs here: only its library is used.
python3 -m pip download --quiet --no-deps --require-hashes --only-binary :all: --implementation cp --python-version 3.11 --abi cp311 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 -r "$here/gpu.txt" -d "$work"
for wheel in "$work"/*.whl; do
  python3 -m zipfile -e "$wheel" "$work/x"
  rm "$wheel"
done
find "$work/x" -name '*.so*' ! -name '*pybind11*' ! -name '*tensorrt*' ! -name '*.alt.so*' ! -name 'libnvblas*' ! -name 'libcufftw*' -exec mv -f {} "$lib/" \;
mv -f "$lib/libonnxruntime.so.1.30.0" "$lib/libonnxruntime.so"
touch "$lib/.complete"
echo "CUDA libraries are in $lib; set scorer.provider: cuda, and andon doctor tells whether they work here"
