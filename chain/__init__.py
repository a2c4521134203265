"""The chain: keys, signed transactions, the escrow program's client, and a local chain to run it on."""
