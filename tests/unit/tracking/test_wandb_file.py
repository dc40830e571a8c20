from stagetree.tracking.wandb_file import wait_until_whole


def test_a_file_that_never_ends_is_given_up(tmp_path):
    path = tmp_path / "run-x.wandb"
    assert not wait_until_whole(path, timeout=0.02)
    path.write_bytes(b":W&B\xe1\xbe\x00" + b"\x00" * 50)
    assert not wait_until_whole(path, timeout=0.02)


def test_the_end_of_a_long_run_is_found_in_the_last_blocks(tmp_path):
    import wandb

    run = wandb.init(
        mode="offline",
        dir=tmp_path,
        project="p",
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    for step in range(600):
        run.log({"text": "x" * 200, "step": step})
    path = next(tmp_path.glob("wandb/offline-run-*")) / f"run-{run.id}.wandb"
    assert not wait_until_whole(path, timeout=0.01)
    run.finish()
    assert wait_until_whole(path)
    assert path.stat().st_size > 3 * 32768
