#!/bin/sh
# clean-tree.sh: fails when building or testing has left files that git neither tracks nor ignores, or has changed tracked ones.
set -eu
out=$(git status --porcelain)
[ -z "$out" ] || { echo "the work tree is not clean after the checks:" >&2; echo "$out" >&2; exit 1; }
