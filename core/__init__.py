"""Pure rules: integers in, integers out. No I/O, clock, randomness or floats below this folder."""
