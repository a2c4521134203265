"""Benchmarks: against limits of the machine, peers, and what this project set itself. `make bench` runs them all."""
