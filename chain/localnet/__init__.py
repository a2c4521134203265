"""A development chain: the real Solana virtual machine behind JSON-RPC, with a cluster's limits. Not a validator, no consensus."""
