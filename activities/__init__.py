"""Steps that touch the world: the engine's door, the ledger and the chain. Each is idempotent under a business key."""
