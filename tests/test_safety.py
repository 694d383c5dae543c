"""Files that a user may have downloaded run no code and write nowhere but in their folders; weights
that come with the environment are those of their hashes."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from acfd import params
from acfd.faces.shards import INDEX, PairTable, ShardError, shard_name, write_index
from acfd.media import centerface
from acfd.media.wheels import WheelError
from acfd.method import backbone
from acfd.method.backbone import WeightsError
from acfd.params import ParamsError
from acfd.runs import run
from acfd.runs.distributed import make_fabric
from acfd.runs.loop import Loop, TrainingError
from acfd.runs.run import make_system
from acfd.videos.ffpp import Clip, Tree, TreeError
from acfd.videos.synthff import people

# What a file is read with; ruff looks for what could run code out of one (pyproject.toml)


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def sprung(tmp_path) -> Path:
    """What a trap would make; it must not be there at the end."""
    path = tmp_path / "sprung"
    yield path
    assert not path.exists(), "code out of a file was run"


def write_trap(path: Path, trap: Path, dump=pickle.dump) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        dump({"net": Trap(trap), "history": {}, "step": 0}, file)


@pytest.mark.parametrize("dump", [torch.save, pickle.dump])
def test_pickles_under_the_names_of_weights_are_refused(small_params, tmp_path, sprung, dump):
    """A run's, those that it resumes from, and the backbone's."""
    said = {"row": "meso4", "seed": 0, "params": small_params.model_dump(mode="json")}
    write_trap(tmp_path / "model.safetensors", sprung, dump)
    (tmp_path / "run.json").write_text(json.dumps(said))
    with pytest.raises(run.RunError, match="not the weights of meso4-s0"):
        run.load_run(tmp_path, small_params)

    write_trap(tmp_path / "state.pt", sprung, dump)
    p = small_params.for_row("meso4")
    loop = Loop(make_system(p, "meso4", 0), p, make_fabric(p.compute), tmp_path)
    with pytest.raises(TrainingError, match=r"not the resume state of a run .*(?i:weights)"):
        loop.resume()

    with pytest.raises(WeightsError, match=r"model.safetensors: not a .safetensors file"):
        backbone.imagenet_weights(str(tmp_path / "model.safetensors"))


def test_a_portrait_or_a_shard_that_is_a_pickle_is_refused(toy_faces, tmp_path, sprung):
    write_trap(people.person_path(tmp_path, 3), sprung)
    with pytest.raises(ValueError, match="pickle"):
        people.load_person(tmp_path, 3)
    shutil.copytree(toy_faces.folder, tmp_path / "faces")
    table = PairTable(tmp_path / "faces")
    write_trap(tmp_path / "faces" / table.index["shard"][0], sprung)
    with pytest.raises(ShardError, match="not a readable shard"):
        table.read(0)


def test_params_that_name_a_python_object_are_refused(tmp_path, sprung):
    text = f"preset: !!python/object/apply:os.mkdir ['{sprung}']\n"
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError):
        params.load(tmp_path / "params.yaml")


# Names out of a data set


ESCAPES = [
    *("../x", "..", "/etc/passwd", "a/b", "a\\b", "C:x", "~root/x", "", "a\0b", "a\nb", ".hidden"),
    *("-rf", "\u2024\u2024\u2215x", "a\uff0fb", "a\u202eb", "a\ud800", "x" * 201, "\u00e9" * 101),
]


@pytest.mark.parametrize("name", ESCAPES, ids=ascii)
def test_a_name_that_could_lead_out_of_a_folder_is_no_clip(name):
    for method, video in (("Deepfakes", name), (name, "000")):
        with pytest.raises(TreeError, match="cannot be the name of a file"):
            Clip(method, video, "000", "001", "train")


@pytest.mark.parametrize("name", ["01_02__meeting_serious__YVGY8LOK", "a b", "a..b", "人"])
def test_other_names_are_clips_whose_files_lie_in_their_folders(name, tmp_path):
    clip = Clip("Celeb-synthesis", name, "0", "1", "test")
    tree = Tree(tmp_path / "tree")
    folder = tmp_path / "faces" / "Celeb-synthesis"
    assert (tmp_path / "faces" / shard_name(clip)).resolve().parent == folder
    for path in (tree.video_path(clip, "c40"), tree.mask_path(clip)):
        assert path.resolve().is_relative_to(tree.root) and path.stem == name


def test_an_index_cannot_have_a_shard_read_from_elsewhere(toy_faces, tmp_path):
    """The faces folder may have come from someone else."""
    shutil.copytree(toy_faces.folder, tmp_path / "faces")
    index = pd.read_parquet(tmp_path / "faces" / INDEX)
    outside = tmp_path / "outside.arrow"
    shutil.copy(tmp_path / "faces" / index["shard"][0], outside)
    for name in ("../outside.arrow", str(outside)):
        write_index(tmp_path / "faces", index.assign(shard=name))
        with pytest.raises(ShardError):
            PairTable(tmp_path / "faces").read(0)


# Weights


def test_weights_that_come_with_the_environment_are_checked_by_their_hashes(monkeypatch):
    """With another hash expected, the files that are there are refused."""
    monkeypatch.setattr(centerface, "SHA256", "0" * 64)
    monkeypatch.setattr(backbone, "_WHEEL_SHA256", "0" * 64)
    with pytest.raises(WheelError, match=r"expected 0{64}"):
        centerface.weights_path()
    with pytest.raises(WheelError, match=r"expected 0{64}"):
        backbone.imagenet_weights("wheel")
    for name in people.FILES:
        with monkeypatch.context() as other:
            other.setitem(people.FILES, name, "0" * 64)
            with pytest.raises(WheelError, match=rf"{name}: .*expected 0{{64}}"):
                people.Generator()
