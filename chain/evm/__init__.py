"""The client of the contracts on EVM chains: batches of orders through the router, signed, sent and followed to their fate."""
