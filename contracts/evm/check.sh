#!/usr/bin/env bash
# Rebuilds the EVM contracts from source, compares them with the committed build/, byte for byte, and runs the tests that need a real node
# (anvil). As root on Debian it installs node and npm when they are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "node and npm are missing: apt-get install nodejs npm" >&2
    exit 1
  fi
  echo "installing node and npm"
  apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
rebuilt=$(mktemp -d)
trap 'rm -rf "$rebuilt"' EXIT
"$here/build.sh" "$rebuilt/build"
if diff -r "$rebuilt/build" "$here/build" >/dev/null; then
  echo "contracts/evm/build is what its sources build"
else
  diff -rq "$rebuilt/build" "$here/build" >&2 || true
  echo "contracts/evm/build is not what its sources build: run 'make contracts' and commit the result" >&2
  exit 1
fi
# npm has it for Linux on x86-64; elsewhere name yours.
anvil=${ANVIL:-"$here/.node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"}
[ -x "$anvil" ] || { echo "npm brought no anvil for this machine: install Foundry and set ANVIL to it" >&2; exit 1; }
cd "$here/../.."
make --silent setup
ANVIL="$anvil" .venv/bin/pytest tests/evm -m anvil
