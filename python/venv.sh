#!/bin/sh
# venv.sh REQUIREMENTS DIR: makes a Python environment of exactly the pinned packages, unless it is there already, and prints its python.
# Fails with pip's words where there is no Python or PyPI cannot be reached.
set -eu
req=$1 dir=$2
want=$(cksum < "$req")
if [ "$(cat "$dir/.complete" 2>/dev/null || true)" != "$want" ]; then
	rm -rf "$dir"
	${PYTHON:-python3} -m venv "$dir" >&2
	"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --timeout 10 --retries 1 -r "$req" >&2
	printf '%s\n' "$want" > "$dir/.complete"
fi
printf '%s\n' "$dir/bin/python"
