"""The edge: HTTP under /api/v1 and one WebSocket for the hot path, both in the process that owns the exchange."""
