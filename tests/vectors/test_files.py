"""Every recorded file of vectors is run by a module here, or is about something else."""

from pathlib import Path

OTHERS = {
    "hyperliquid-signing.json": "signatures of a venue",
    "polymarket-signing.json": "signatures of a venue",
    "polymarket-fees.json": "fees of a venue",
}


def test_every_file_has_its_module(vector_files):
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    run = {name for name in vector_files if f'FILE = "{name}"' in here}
    assert run.isdisjoint(OTHERS)
    assert run | set(OTHERS) == vector_files
