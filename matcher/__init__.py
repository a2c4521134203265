"""The in-memory exchange: commands in, events out, one writer, a durable journal."""
