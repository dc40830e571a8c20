import pytest

from stagetree.tracking import mlflow
from stagetree.tracking.base import trackers
from stagetree.tracking.mlflow import MlflowConfig, MlflowTracker

pytest.importorskip("mlflow")


@pytest.fixture(autouse=True)
def service(monkeypatch):
    monkeypatch.setattr(mlflow, "_lost", set())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    """A database that the tests share, each in an experiment of its own."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def mirrored(tmp_path, run_info, play, uri, request):
    """Return a function that plays a run and gives the runs of the experiment, oldest first."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)

    def run(**options):
        config = MlflowConfig(tracking_uri=uri, experiment=request.node.name, tags={"mine": "yes"})
        play(trackers(config, tmp_path), run_info, **options)
        experiment = client.get_experiment_by_name(request.node.name)
        runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
        return client, runs

    return run


def series(client, run, key):
    history = client.get_metric_history(run.info.run_id, key)
    return [(point.step, point.value) for point in history]


def test_a_run_has_flat_parameters_and_tags(mirrored):
    _, (run,) = mirrored()
    assert run.info.run_name == "ner/7"
    assert run.data.params == {
        "finetune.learning_rate": "0.0003",
        "finetune.unfreeze": "[]",
        "data.kind": "pii",
        "data.cache": "/somewhere",
    }
    assert run.data.tags["mine"] == "yes"
    assert run.data.tags["study"] == "ner"
    assert run.data.tags["mlflow.note.content"].startswith("python run.py")


def test_metrics_lie_over_steps_and_over_percent(mirrored):
    client, (run,) = mirrored(reuse=True)
    assert series(client, run, "finetune/train_loss") == [(1, 1.0), (10, 0.1)]
    assert series(client, run, "distill_by_percent/f1") == [(50, 0.9), (100, 0.7)]
    assert run.data.metrics["final/finetune.f1"] == 0.9
    assert run.data.metrics["final/finetune.seconds"] == 2.5
    assert run.data.tags["reused"] == "true"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("complete", "FINISHED"),
        ("pruned", "FINISHED"),
        ("failed", "FAILED"),
        ("interrupted", "KILLED"),
    ],
)
def test_the_end_shows_as_status_and_tag(mirrored, status, shown):
    _, (run,) = mirrored(status=status)
    assert run.info.status == shown
    assert run.data.tags["status"] == status


def test_the_second_attempt_goes_on_with_the_run_of_the_first(mirrored):
    mirrored(status="interrupted")
    _, (run,) = mirrored()
    assert run.info.status == "FINISHED"


def test_runs_are_kept_below_the_root_unless_told_otherwise(tmp_path, run_info, play):
    from mlflow import MlflowClient

    play(trackers(MlflowConfig(), tmp_path / "a root"), run_info)
    place = (tmp_path / "a root" / "mlflow").resolve()
    experiment = MlflowClient(f"sqlite:///{place}/mlflow.db").get_experiment_by_name("ner")
    assert experiment.artifact_location == (place / "artifacts" / "ner").as_uri()


def test_options_that_make_no_sense_are_faults():
    (fault,) = MlflowTracker.check(MlflowConfig(timeout=0))
    assert fault.path == "timeout"
