import pytest

from stagetree.tasks.words import SPLITTERS, split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann's 5-year-old, German-born", "Ann 's 5-year-old , German-born"),
        ("at 10:30 on 1996-08-22 or 3/4", "at 10:30 on 1996-08-22 or 3/4"),
        ("1,000.50% (-3.5)... U.S. 2nd", "1,000.50% ( -3.5 ) ... U.S. 2nd"),
        ("see https://a.org/b?c=1, a.b@c.org.", "see https://a.org/b?c=1 , a.b@c.org ."),
        ("caf\u00e9 \u4e2d\u6587\u3002", "caf\u00e9 \u4e2d\u6587 \u3002"),
    ],
)
def test_words_are_split_as_in_conll(text, words):
    assert [word for word, _, _ in split(text)] == words.split()


@pytest.mark.parametrize("how", SPLITTERS)
def test_nothing_but_white_space_is_lost(how):
    text = " A-b c's  3.5%?!\t\u00fc_x\u2019s a@b.c \U0001f600\n"
    found = split(text, how)
    assert "".join(word for word, _, _ in found) == "".join(text.split())
    assert all(text[start:end] == word for word, start, end in found)
