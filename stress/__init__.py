"""A crash lived through by a crowd: the whole exchange from command to journal, against the time of a recording."""
