import pytest
from monai.bundle import ConfigParser

from monai_hyperscale.console.command import INTERRUPTED
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.training import ends_with_one_sentence


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
    assert capsys.readouterr().err == "interrupted; --resume True goes on after the last whole epoch\n"


def test_steps_are_carried_out_with_all_they_need():
    done = []
    config = {
        "imports": ["$import monai_hyperscale"],
        "number": "$2 + 1",
        "steps": ["$done.append(@number)", "$done.append(@number + 1)"],
        "run": "$monai_hyperscale.training.run_steps()",
    }
    parser = ConfigParser(config, globals={"done": done})
    parser.get_parsed_content("run")
    assert done == [3, 4]


def test_an_error_on_the_way_to_a_step_ends_in_a_sentence():
    def fail():
        raise DatasetError("no such case")

    config = {"imports": ["$import monai_hyperscale"], "data": "$fail()", "steps": ["$len(@data)"]}
    parser = ConfigParser({**config, "run": "$monai_hyperscale.training.run_steps()"}, globals={"fail": fail})
    with pytest.raises(SystemExit, match="^error: no such case$"):
        parser.get_parsed_content("run")
