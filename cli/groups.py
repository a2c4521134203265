"""`perpdex settlement` and `perpdex escrow`: groups whose commands come from several modules."""

from cli import governing, open_batch, own_slots, pages, proposing, retrying, rotating
from cli.custody import escrow
from cli.reconciling import settlement

for on_settlement in (open_batch.abort, open_batch.carry, retrying.retry):
    settlement.command()(on_settlement)
for on_escrow in (
    governing.pause,
    governing.unpause,
    governing.pending,
    governing.cancel,
    governing.execute,
    pages.close_page,
):
    escrow.command()(on_escrow)
escrow.add_typer(proposing.propose, name="propose")
escrow.add_typer(rotating.rotation, name="rotation")
escrow.add_typer(own_slots.own, name="own")
