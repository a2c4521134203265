#!/usr/bin/env bash
# Writes the two lock files anew: hashes for every platform, no index addresses. Needs `uv` on the PATH.
set -euo pipefail
cd "$(dirname "$0")"
opts=(--universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --quiet)
echo "setuptools>=80" | uv pip compile "${opts[@]}" ../pyproject.toml - -o runtime.txt
uv pip compile "${opts[@]}" dev.in -o dev.txt
