import pytest

from monai_hyperscale.training.checks import compare_keys, merge_keys


def test_options_of_all_levels_are_known_from_the_files():
    known = {}
    merge_keys(known, ["train", "inferer"], {"_target_": "A", "precision": "fp32"})
    merge_keys(known, ["train"], {"sampler": {"_target_": "B"}})
    merge_keys(known, ["network"], {"features": [1]})
    compare_keys({"train": {"inferer": {"_target_": "A", "precision": "bf16"}}}, known)
    compare_keys({"network": {"anything": 1}}, known)
    # A component of another kind has arguments of its own.
    compare_keys({"train": {"inferer": {"_target_": "C", "other": 1}}}, known)
    with pytest.raises(
        ValueError, match="unknown option --train#inferer#precison; did you mean --train#inferer#precision"
    ):
        compare_keys({"train": {"inferer": {"_target_": "A", "precison": "bf16"}}}, known)
