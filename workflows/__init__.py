"""Durable order of steps. Deterministic: ids and cursors only, every input and output goes through `activities`."""
