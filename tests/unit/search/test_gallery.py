import optuna
import pytest

from stagetree.search.gallery import Gallery
from stagetree.search.journal import FILE, open_storage


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a study of so many trials."""

    def study(name, trials):
        place = tmp_path / name
        place.mkdir()
        (place / FILE).touch()
        made = optuna.create_study(study_name=name, storage=open_storage(place, None))
        for number in range(trials):
            made.tell(made.ask(), number)

    return study


def names(gallery):
    return [study.study_name for study in gallery.get_all_studies()]


def test_studies_show_up_as_they_come_and_keep_their_ids(make, tmp_path):
    make("b", 2)
    gallery = Gallery(tmp_path)
    assert names(gallery) == ["b"]
    make("a", 1)
    assert names(gallery) == ["b", "a"]
    assert [gallery.get_study_name_from_id(number) for number in (0, 1)] == ["b", "a"]
    assert gallery.get_study_id_from_name("a") == 1


def test_every_trial_is_found_by_its_id(make, tmp_path):
    make("a", 2)
    make("b", 3)
    gallery = Gallery(tmp_path)
    for study in gallery.get_all_studies():
        trials = gallery.get_all_trials(study._study_id)
        assert [gallery.get_trial(trial._trial_id) for trial in trials] == trials
        assert gallery.get_best_trial(study._study_id).number == 0
        plain = optuna.load_study(study_name=study.study_name, storage=gallery)
        assert len(plain.trials) == len(trials)


def test_nothing_can_be_changed(make, tmp_path):
    make("a", 1)
    study = optuna.load_study(study_name="a", storage=Gallery(tmp_path))
    journal = (tmp_path / "a" / FILE).read_bytes()
    with pytest.raises(PermissionError, match="reading only"):
        study.ask()
    with pytest.raises(PermissionError):
        study.set_user_attr("a", 1)
    assert (tmp_path / "a" / FILE).read_bytes() == journal


def test_a_study_that_cannot_be_read_is_left_out(make, tmp_path, caplog):
    make("a", 1)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / FILE).write_text("{\n" * 3)
    assert names(Gallery(tmp_path)) == ["a"]
    assert "broken" in caplog.text
