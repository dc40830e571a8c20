import logging
import warnings

import pytest
from transformers.utils import logging as bars

from stagetree.models.quiet import quiet, unprinted


def test_noise_is_held_back_and_everything_is_as_before(capfd):
    handlers, shown = list(logging.getLogger().handlers), bars.is_progress_bar_enabled()
    with unprinted():
        logging.warning("noise")
        warnings.warn("noise", stacklevel=1)
        print("noise")
        assert not bars.is_progress_bar_enabled()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == 0
    assert bars.is_progress_bar_enabled() == shown


def test_errors_pass_and_still_restore():
    with pytest.raises(KeyError), quiet():
        raise KeyError("x")
    assert logging.root.manager.disable == 0


def test_blocks_nest():
    with quiet():
        with quiet():
            pass
        assert logging.root.manager.disable == logging.WARNING
    assert logging.root.manager.disable == 0
