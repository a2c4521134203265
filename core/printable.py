"""Words of others, before they are kept or shown."""


def printable(words: str) -> str:
    """With a space in place of each character that is none to look at: control characters, which may rewrite a terminal's line, half
    characters, and zero, of which a database takes neither."""
    return words if words.isprintable() else "".join(one if one.isprintable() else " " for one in words)
