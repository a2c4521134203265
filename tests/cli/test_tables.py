"""Tables show what others wrote as it is, and cut nothing."""

import pytest

from cli.tables import plain, print_table
from cli.vault_answers import table


@pytest.mark.parametrize("words", ["[/x]", "[conceal]mine[/conceal]", "[red]", "a [b] c"])
def test_markup_of_others_is_words(capsys, words):
    table([{"who": "ada", "why": words}])
    assert words in capsys.readouterr().out


def test_no_words_move_the_cursor_or_turn_what_stands_beside_them(capsys):
    print_table(["name"], [["\x1b[2Jgone"], ["back\u202eward"], ["nul\x00"], ["\u9ec4\u91d1"]])
    told = capsys.readouterr().out
    assert all(one.isprintable() for one in told.replace("\n", ""))
    assert "\\x1b[2Jgone" in told
    assert "\\u202e" in told
    assert "\u9ec4\u91d1" in told
    assert plain("as it is") == "as it is"


def test_the_narrowest_screen_cuts_no_figure(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    table([{"client_id": "a" * 64, "size": "12345.12345678", "why": "w" * 200}])
    told = capsys.readouterr().out
    assert ("a" * 64 in told, "12345.12345678" in told, "w" * 200 in told) == (True, True, True)
