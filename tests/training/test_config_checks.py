import pytest

from monai_hyperscale.console.exit_codes import INTERRUPTED
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.training import ends_with_one_sentence
from monai_hyperscale.training.config_values import _compare, _merge


def raising(error, cause=None):
    @ends_with_one_sentence
    def function():
        raise error from cause

    return function


def test_our_errors_end_in_a_sentence_however_deep():
    with pytest.raises(SystemExit, match="^error: no such case$"):
        raising(RuntimeError("wrapped"), DatasetError("no such case"))()
    text = (
        "Caught RuntimeError in DataLoader worker process 0.\nmonai_hyperscale.errors.ImageError: a.png is damaged.\n"
    )
    with pytest.raises(SystemExit, match="^error: a.png is damaged.$"):
        raising(RuntimeError(text))()


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match="a bug"):
        raising(ValueError("a bug"))()


def test_an_interruption_ends_in_a_sentence_and_as_the_commands_do(capsys):
    with pytest.raises(SystemExit) as end:
        raising(KeyboardInterrupt())()
    assert end.value.code == INTERRUPTED == 130
    assert capsys.readouterr().err == "interrupted; a training goes on from its last epoch with --resume True\n"


def test_options_of_all_levels_are_known_from_the_files():
    known = {}
    _merge(known, ["train", "inferer"], {"_target_": "A", "precision": "fp32"})
    _merge(known, ["train"], {"sampler": {"_target_": "B"}})
    _merge(known, ["network"], {"features": [1]})
    _compare({"train": {"inferer": {"_target_": "A", "precision": "bf16"}}}, known, "")
    _compare({"network": {"anything": 1}}, known, "")
    # A component of another kind has arguments of its own.
    _compare({"train": {"inferer": {"_target_": "C", "other": 1}}}, known, "")
    with pytest.raises(
        ValueError, match="unknown option --train#inferer#precison; did you mean --train#inferer#precision"
    ):
        _compare({"train": {"inferer": {"_target_": "A", "precison": "bf16"}}}, known, "")
