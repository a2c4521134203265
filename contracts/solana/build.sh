#!/usr/bin/env bash
# Builds the escrow program from source into the file named as first argument (default: the committed escrow.so).
# Needs Debian's rustc-web, rust-web-src (Rust with library sources) and llvm-22; downloads nothing. The source is written for
# `cargo build-sbf` too, which nobody has run on it yet. The bytes do not depend on where the checkout lies, but on the compilers:
# what they were made from stands beside them, in escrow.so.built_from.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/escrow.so}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
library=
for candidate in /usr/src/rustc-*/library; do library=$candidate; done
[ -d "$library/vendor" ] || { echo "rust-web-src is not installed: no Rust library sources under /usr/src" >&2; exit 1; }

cp -r "$here/escrow" "$work/escrow"
cd "$work/escrow"
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="--remap-path-prefix=$work=. --remap-path-prefix=$library=rust" \
  CARGO_TARGET_DIR="$work/target" \
  /usr/bin/cargo rustc --quiet --offline --release --lib --crate-type staticlib -Z build-std=core --target bpfel-unknown-none \
  --config 'source.crates-io.replace-with="vendored"' --config "source.vendored.directory=\"$library/vendor\""
mkdir "$work/objects" && cd "$work/objects"
ar x "$work/target/bpfel-unknown-none/release/libescrow.a"
for bitcode in *.o; do
  llc-22 -march=bpfel -mcpu=v2 -bpf-stack-size=4096 -O2 -filetype=obj "$bitcode" -o "$bitcode.linked"
done
python3 "$here/sbpf_link.py" -o "$out" ./*.linked
{ "$here/built_from.sh"; echo "program $(sha256sum < "$out" | cut -d' ' -f1)"; } > "$out.built_from"
