#!/usr/bin/env bash
# Prints what the escrow program's bytes are made from: a hash of all of the source, and the compilers of this machine.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
source=$(LC_ALL=C find build.sh sbpf_link.py escrow/Cargo.toml escrow/src -type f | LC_ALL=C sort | xargs sha256sum | sha256sum)
echo "source ${source%% *}"
/usr/bin/rustc --version
echo "LLVM $(llc-22 --version | sed -n 's/.*version //p')"
