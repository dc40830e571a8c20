import pytest

from stagetree.core.errors import ConfigError
from stagetree.tasks.entity_rules import bound
from stagetree.tasks.spans import Sentence, Span

SENTENCE = Sentence(["Ann", "de", "Bo", "a@b", "x"])
ANN, BO = Span("PER", 0, 1, 0.9), Span("PER", 2, 3, 0.5, opened=False)
MAIL, LETTER = Span("EMAIL", 3, 4, 0.8), Span("LOC", 4, 5, 0.7)
SPANS = [ANN, BO, MAIL, LETTER]
TYPES = ["EMAIL", "LOC", "PER"]


@pytest.mark.parametrize(
    ("name", "options", "left"),
    [
        ("merge_adjacent", {}, SPANS),
        ("merge_adjacent", {"gap": 1, "types": ["LOC"]}, SPANS),
        ("drop_short", {"characters": 3}, [ANN, MAIL]),
        ("drop_short", {"words": 2, "types": ["PER"]}, [MAIL, LETTER]),
        ("allow", {"types": ["LOC"]}, [LETTER]),
        ("deny", {"types": ["LOC", "PER"]}, [MAIL]),
        ("must_match", {"patterns": {"EMAIL": r"\w+@\w", "LOC": "[A-Z]+"}}, [ANN, BO, MAIL]),
        ("drop_orphans", {}, [ANN, MAIL, LETTER]),
    ],
)
def test_a_rule_keeps_what_it_should(name, options, left):
    (rule,) = bound([(name, options)], TYPES)
    assert rule(SPANS, SENTENCE) == left


def test_neighbours_become_one_with_the_mean_of_their_words():
    (rule,) = bound([("merge_adjacent", {"gap": 1})], TYPES)
    merged = rule(SPANS, SENTENCE)[0]
    assert (merged.start, merged.end) == (0, 3)
    assert merged.score == pytest.approx(0.7)
    assert SENTENCE.cover(merged) == "Ann de Bo"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alow", {}, "unknown rule 'alow'. Did you mean 'allow'"),
        ("allow", {}, "expected the option 'types' but got none"),
        ("allow", {"types": "LOC"}, "expected types to be a list"),
        ("allow", {"types": ["LOCC"]}, "Did you mean 'LOC'"),
        ("drop_short", {"words": -1}, "expected words to be a whole number"),
        ("must_match", {"patterns": {"LOC": "("}}, "no regular expression"),
        ("must_match", {"patterns": ["LOC"]}, "expressions by type"),
    ],
)
def test_a_wrong_rule_is_explained(name, options, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")) as caught:
        bound([(name, options)], TYPES)
    assert caught.value.faults[0].path == f"--rules[0].{name}"
