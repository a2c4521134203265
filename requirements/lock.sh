#!/usr/bin/env bash
# Writes the lock files anew: hashes for every platform, no index addresses. Needs `uv` on the PATH.
set -euo pipefail
cd "$(dirname "$0")"
opts=(--universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --quiet)
echo "setuptools>=80" | uv pip compile "${opts[@]}" ../pyproject.toml - -o runtime.txt
# The runtime with the optional signers, at the same versions: installed in place of runtime.txt where one of them is used.
uv pip compile "${opts[@]}" --extra awskms --extra vault ../pyproject.toml -c runtime.txt -o signers.txt
uv pip compile "${opts[@]}" dev.in -o dev.txt
