"""Two complete small agents, to run and to learn from."""
