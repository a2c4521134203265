"""The committed program is the one that was built from the committed source, whatever compilers are here."""

from hashlib import sha256
from pathlib import Path

HOME = Path(__file__).parents[2] / "contracts" / "solana"


def test_the_committed_program_is_of_the_committed_source() -> None:
    said = dict(line.split(" ", 1) for line in (HOME / "escrow.so.built_from").read_text().splitlines())
    files = [
        *(HOME / name for name in ("build.sh", "sbpf_link.py", "escrow/Cargo.toml")),
        *(path for path in (HOME / "escrow" / "src").rglob("*") if path.is_file()),
    ]
    names = sorted(str(path.relative_to(HOME)) for path in files)
    # As `built_from.sh` has it: the sums of all files, in the order of their names.
    listed = "".join(f"{sha256((HOME / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert said["source"] == sha256(listed.encode()).hexdigest()
    assert said["program"] == sha256((HOME / "escrow.so").read_bytes()).hexdigest()
    assert {"rustc", "LLVM"} <= said.keys()
