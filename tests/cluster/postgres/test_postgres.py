"""Studies in PostgreSQL: opening, refusals, passwords, every verb, and the proxy's own command."""

import json
import multiprocessing
import signal

import pytest

from stagetree.core.errors import ConfigError
from stagetree.search.database import is_fresh, open_url
from stagetree.search.patient_storage import StorageAwayError

pytestmark = pytest.mark.postgres


def _open(url: str) -> None:
    assert open_url(url).get_all_studies() == []


def test_a_fresh_database_is_opened_by_several_at_once(database) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_open, args=(database,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_looking_whether_a_database_is_fresh_creates_nothing(database) -> None:
    assert is_fresh(database)
    assert is_fresh(database)
    open_url(database)
    assert not is_fresh(database)


def test_what_cannot_work_is_refused_at_once_and_nothing_is_waited_for(server, secret) -> None:
    wrong = server.url("postgres", f"locked:{secret}-not")
    for url, reason in [
        (wrong, "password authentication failed"),
        (server.url("nowhere"), 'database "nowhere" does not exist'),
        ("postgres://me@db/base", "expected a database URL"),
        ("grpc://nowhere", "expected grpc://HOST:PORT"),
    ]:
        with pytest.raises(ConfigError, match=reason) as refused:
            open_url(url, opening=60)
        assert secret not in str(refused.value)


def test_a_server_that_is_not_there_is_waited_for_as_long_as_told() -> None:
    with pytest.raises(StorageAwayError, match=r"got none in 0 s: .*Is it running"):
        open_url("postgresql+psycopg2://me@127.0.0.1:1/base", opening=0)
    with pytest.raises(StorageAwayError, match="no gRPC server answers there"):
        open_url("grpc://127.0.0.1:1", opening=0)


def test_a_search_that_cannot_reach_its_storage_leaves_nothing_behind(sweeps, server) -> None:
    said = sweeps.run(server.url("nowhere"), "x=1,2", code=2)
    assert 'database "nowhere" does not exist' in said
    assert "Traceback" not in said
    assert not (sweeps.directory / "studies").exists()


def test_a_password_is_never_written_and_every_verb_finds_the_study(
    server, database, sweeps, secret
) -> None:
    base = database.rpartition("/")[2]
    said = sweeps.run(server.url(base, f"locked:{secret}"), "x=1,2,3")
    assert secret not in said
    written = [path for path in sweeps.directory.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if secret.encode() in path.read_bytes()]
    assert "locked:***@" in (sweeps.directory / "studies/s/multirun.yaml").read_text()
    known = {"PGPASSWORD": secret}
    [row] = json.loads(sweeps.stagetree("studies", "--json", **known))
    assert (row["name"], row["complete"], row["best"]) == ("s", 3, 2.0)
    assert len(json.loads(sweeps.stagetree("trials", "s", "--json", **known))) == 3
    assert "trial 0" in sweeps.stagetree("best", "s", **known)
    sweeps.stagetree("report", "s", "--no-charts", **known)
    assert (sweeps.directory / "studies/s/report.html").is_file()


def test_the_proxy_serves_until_it_is_told_to_end(database, sweeps, end) -> None:
    proxy, said = sweeps.serve("--storage", database, "--port", "0", "--json")
    url = json.loads(said)["url"]
    out = sweeps.run(url, "x=1,2")
    assert "[2/2] trial 1  complete" in out
    assert open_url(url).get_n_trials(1) == 2
    second = sweeps.process(
        "-c", "from stagetree.cli import main; main()", "storage", "serve",
        "--storage", database, "--port", url.rpartition(":")[2],
    )  # fmt: skip
    assert "cannot listen on" in end(second, 1)
    proxy.send_signal(signal.SIGTERM)
    end(proxy, 143)


def test_the_proxy_serves_the_journal_of_a_study(sweeps, end) -> None:
    sweeps.run(None, "x=1,2")
    proxy, said = sweeps.serve("s", "--root", ".", "--port", "0", "--json")
    told = json.loads(said)
    assert told["storage"] == "studies/s/journal.log"
    out = sweeps.run(told["url"], "x=1,2", "hydra.sweeper.n_trials=2")
    assert "2 of 2 trials done" in out
    proxy.send_signal(signal.SIGINT)
    end(proxy, 130)
