from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monai_hyperscale.console.jobs import plan_jobs
from monai_hyperscale.errors import ArgumentError


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


def outputs(images: Sequence[Path], output: Path | str, **options: Any) -> list[str]:
    return [str(job.output) for job in plan_jobs(images, str(output), **options)]


def refused(images: Sequence[Path], output: Path | str, **options: Any) -> str:
    with pytest.raises(ArgumentError) as caught:
        plan_jobs(images, str(output), **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        *((f"scan{suffix}", "scan.nii.gz") for suffix in (".nii.gz", ".mgz", ".mha", ".nrrd")),
        *(("scan.nii", "scan.nii"), ("Scan.1.NII.GZ", "Scan.1.nii.gz"), ("cell.jpg", "cell.png")),
    ],
)
def test_outputs_are_named_after_the_inputs(tmp_path: Path, image: str, label: str) -> None:
    images = touch(tmp_path, image)
    for folder in (tmp_path / "out", f"{tmp_path}/v1.5", f"{tmp_path}/new.nii.gz/"):
        assert outputs(images, folder) == [str(Path(folder) / label)]
    assert outputs(images, tmp_path / "out", suffix="_seg") == [
        str(tmp_path / "out" / label.replace(".", "_seg.", 1))
    ] or ("Scan.1" in image)


def test_one_file_for_one_image(tmp_path: Path) -> None:
    images = touch(tmp_path, "a.mha", "b.png")
    assert outputs(images[:1], tmp_path / "x.nii") == [str(tmp_path / "x.nii")]
    assert outputs(images[1:], tmp_path / "x.png") == [str(tmp_path / "x.png")]
    assert "must end in .nii.gz or .nii, got" in refused(images[:1], tmp_path / "x.mha")
    assert "must end in .nii.gz or .nii, got" in refused(images[:1], tmp_path / "x.png")
    assert "name a folder" in refused(images, tmp_path / "x.nii.gz")
    assert "name a folder" in refused([tmp_path], tmp_path / "x.nii.gz")
    (tmp_path / "odd.nii.gz").mkdir()  # a folder that exists is one, whatever its name
    assert outputs(images[1:], tmp_path / "odd.nii.gz") == [str(tmp_path / "odd.nii.gz" / "b.png")]


def test_folder_input_leaves_hidden_and_other_files_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    touch(folder, "b.nii.gz", "a.mha", ".hidden.nii.gz", "._b.nii.gz", "notes.txt", "sub/c.nii.gz")
    (folder / "dir.nii.gz").mkdir()
    jobs = plan_jobs([folder], str(tmp_path / "out"))
    assert [job.image.name for job in jobs] == ["a.mha", "b.nii.gz"]
    (tmp_path / "empty").mkdir()
    assert "has no image" in refused([tmp_path / "empty"], tmp_path / "out")
    images = touch(tmp_path, "a.nii", "file")[:1]
    assert "name image files, or one folder alone" in refused([*images, tmp_path / "empty"], tmp_path / "out")
    assert "neither a folder nor a label file" in refused(images, tmp_path / "file")


def test_no_output_is_an_input(tmp_path: Path) -> None:
    images = touch(tmp_path, "a.nii.gz", "b.nii.gz")
    assert "is an input image" in refused(images, tmp_path)
    assert "is an input image" in refused(images[:1], images[0], existing="overwrite")
    assert "is an input image" in refused([tmp_path], tmp_path, existing="skip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nii.gz").symlink_to(images[1])
    os.link(images[0], tmp_path / "out" / "b.nii.gz")
    assert "a.nii.gz is an input image" in refused(images, tmp_path / "out", existing="overwrite")
    assert "b.nii.gz is an input image" in refused(images[::-1], tmp_path / "out", existing="overwrite")
    assert outputs([tmp_path], tmp_path, suffix="_seg") == [f"{tmp_path}/a_seg.nii.gz", f"{tmp_path}/b_seg.nii.gz"]


def test_outputs_of_an_earlier_run_in_the_same_folder_are_no_inputs(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a_seg.nii.gz")
    jobs = plan_jobs([tmp_path], str(tmp_path), suffix="_seg", existing="skip")
    assert [(job.image.name, job.skip) for job in jobs] == [("a.nii.gz", True)]
    assert len(plan_jobs([tmp_path], str(tmp_path / "out"), suffix="_seg")) == 2


def test_two_images_never_share_an_output(tmp_path: Path) -> None:
    images = touch(tmp_path, "x/a.nii.gz", "y/a.nii.gz", "y/a.mha", "y/b.nii", "y/b.nii.gz")
    assert "would both be written to" in refused(images[:2], tmp_path / "out")
    assert "would both be written to" in refused(images[1:3], tmp_path / "out")
    assert "would both be written to" in refused([images[0], images[0]], tmp_path / "out")
    assert len(outputs(images[3:], tmp_path / "out")) == 2
    assert "would both be written to" in refused(images[3:], tmp_path / "out", preview=True)


def test_existing_outputs(tmp_path: Path) -> None:
    images = touch(tmp_path, "a.nii.gz", "b.nii.gz")
    touch(tmp_path / "out", "a.nii.gz")
    assert "a.nii.gz exists already; add --overwrite or --skip-existing" in refused(images, tmp_path / "out")
    touch(tmp_path / "out", "b.nii.gz")
    assert "b.nii.gz exist already; add --overwrite or --skip-existing" in refused(images, tmp_path / "out")
    (tmp_path / "out" / "b.nii.gz").unlink()
    assert [job.skip for job in plan_jobs(images, str(tmp_path / "out"), existing="skip")] == [True, False]
    assert [job.skip for job in plan_jobs(images, str(tmp_path / "out"), existing="overwrite")] == [False, False]
    touch(tmp_path / "out2", "a_preview.png")
    assert "a_preview.png exists already" in refused(images, tmp_path / "out2", preview=True)


def test_other_outputs_are_no_images_and_suffixes_no_paths(tmp_path: Path) -> None:
    images = touch(tmp_path, "a.nii.gz")
    for other in (images[0], tmp_path / "out" / "a.nii.gz"):
        assert "is an image or the output of one" in refused(images, tmp_path / "out", other_outputs=[other])
    assert "part of a file name" in refused(images, tmp_path / "out", suffix="/../../x")


def test_channel_files_are_one_job_named_after_the_case(tmp_path: Path) -> None:
    images = touch(tmp_path / "in", "a_0000.nii.gz", "a_0001.nii.gz", "b.nii")
    for given in ([tmp_path / "in"], images):
        jobs = plan_jobs(given, str(tmp_path / "out"), suffix="_seg", channels=2)
        assert [job.files for job in jobs] == [tuple(images[:2]), (images[2],)]
        assert [job.output.name for job in jobs] == ["a_seg.nii.gz", "b_seg.nii"]
    assert outputs(images[:2], tmp_path / "x.nii.gz", channels=2) == [str(tmp_path / "x.nii.gz")]
    assert len(outputs([tmp_path / "in"], tmp_path / "out", channels=1)) == 3
    assert "is an input image" in refused(images[:2], images[1], channels=2, existing="overwrite")
    told = refused(images, tmp_path / "out", channels=3)
    assert "a has the channel files 0000, 0001, but the network takes 3" in told


def test_one_channel_folders_of_nnunet(tmp_path: Path) -> None:
    images = touch(tmp_path / "in", "a_0000.nii.gz", "b_0000.nii.gz")
    assert outputs([tmp_path / "in"], tmp_path) == [f"{tmp_path}/a.nii.gz", f"{tmp_path}/b.nii.gz"]
    assert outputs(images[:1], tmp_path) == [f"{tmp_path}/a_0000.nii.gz"]  # a file by its own name
