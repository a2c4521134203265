"""Where prices come from. Integers only: a price is a number of its own unit, never a float."""
