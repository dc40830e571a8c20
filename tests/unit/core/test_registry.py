"""Registries: parts by name, found without being listed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from stagetree.core.errors import ConfigError
from stagetree.core.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path


def test_a_registered_part_is_found_and_listed_in_order() -> None:
    parts: Registry[int] = Registry("part")
    parts.register("two")(2)
    parts.register("one")(1)
    assert parts["two"] == 2
    assert list(parts) == ["one", "two"]
    assert "one" in parts
    assert "three" not in parts


def test_a_taken_name_is_refused_but_the_same_part_again_is_not() -> None:
    parts: Registry[type] = Registry("part")
    parts.register("text")(str)
    parts.register("text")(str)
    with pytest.raises(ValueError, match="expected a new part name but 'text' is taken"):
        parts.register("text")(bytes)


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    parts: Registry[int] = Registry("stage kind")
    parts.register("finetune")(1)
    parts.register("distill")(2)
    with pytest.raises(ConfigError) as caught:
        parts["fintune"]
    assert caught.value.faults[0].path == "stage kind"
    assert "Did you mean 'finetune'? Known: distill, finetune." in str(caught.value)


def test_modules_of_the_package_are_imported_at_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "made_up_parts"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from stagetree.core.registry import Registry\nPARTS = Registry('part', 'made_up_parts')\n"
    )
    (package / "dropped_in.py").write_text(
        "from made_up_parts import PARTS\nPARTS.register('dropped')('in')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from made_up_parts import PARTS

    assert "made_up_parts.dropped_in" not in sys.modules
    assert list(PARTS) == ["dropped"]
    assert PARTS["dropped"] == "in"
