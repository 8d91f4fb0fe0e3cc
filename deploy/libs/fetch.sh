#!/bin/sh
# fetch.sh LIB: fetches the two native libraries by the lockfile beside this script, whose SHA-512 digests npm checks, and moves them to LIB.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$1"
lib=$(CDPATH= cd -- "$1" && pwd)
command -v npm >/dev/null || { echo "npm is needed to fetch the native libraries: install Node.js 20 or newer" >&2; exit 3; }
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the pinned libraries are for Linux x86_64, this is $(uname -sm)" >&2; exit 3; }
echo "fetching ClickHouse's engine (178 MB) and ONNX Runtime (113 MB), once"
work=$(mktemp -d "$lib/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$work/"
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --loglevel=error
mv -f "$work/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" "$lib/libchdb.so"
mv -f "$work/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1" "$lib/libonnxruntime.so"
touch "$lib/.complete"
echo "libraries are in $lib"
