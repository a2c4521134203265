"""From a vault's ticket to the venue's acknowledgement, per driver against its local venue, next to the bare SDK's call."""
