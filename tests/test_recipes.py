"""Recipes say what determines videos, faces and copies, and nothing of the machine."""

import json
import shutil

import pandas as pd

from acfd import sources
from acfd.paths import Paths
from acfd.videos import recipes


def test_of_generated_videos_parameters_and_code_are_all(make_params, tmp_path, monkeypatch):
    digests = []
    for name in ("here", "there"):
        paths = Paths("pocket", tmp_path / name)
        assert recipes.key(paths, "videos") == ""
        p = make_params(data={"root": str(tmp_path / name / "videos")}, compute={"jobs": 2})
        digests.append((recipes.videos(p, paths), recipes.faces(p, paths)))
        assert digests[-1] == (recipes.key(paths, "videos"), recipes.key(paths, "faces"))
    assert digests[0] == digests[1]
    fewer = make_params(synthff={"frames": 3})
    assert recipes.videos(fewer, paths) != digests[0][0]
    assert recipes.faces(fewer, paths) != digests[0][1], "faces of other videos"
    other = make_params(faces={"margin": 1.5})
    assert (recipes.videos(other, paths), recipes.faces(other, paths)) != digests[0]
    note = {"made_of": "raw", "left_out": {}}
    made = recipes.copies(other, paths, note)
    assert made == recipes.copies(make_params(robustness={"bootstrap": 7}), paths, note)
    assert made != recipes.copies(other, paths, note | {"left_out": {"av1": "no encoder"}})
    monkeypatch.setattr(sources, "made_by", lambda what: "other code")
    assert recipes.videos(p, paths) != digests[0][0]


def test_of_files_that_are_not_generated_their_content_counts(make_params, make_tree, tmp_path):
    tree = make_tree(tmp_path / "ff", frames=2, size=(64, 64))
    paths = Paths("ffpp", tmp_path)
    p = make_params(data={"source": "ffpp", "root": str(tree.root)})
    first = recipes.videos(p, paths)
    shutil.copytree(tree.root, tmp_path / "moved")
    moved = make_params(data={"source": "ffpp", "root": str(tmp_path / "moved")})
    assert recipes.videos(moved, paths) == first, "where it lies decides nothing"
    listed = pd.read_csv(paths.videos / recipes.LIST)
    clips = tree.clips(["Deepfakes"])
    assert len(listed) == 2 * len(clips) + sum(c.label for c in clips)
    said = json.loads(paths.recipe("videos").read_text())
    assert said["files"] == len(listed) and said["bytes"] == listed["bytes"].sum()
    path = tree.video_path(clips[0], "c40")
    path.write_bytes(path.read_bytes() + b"\0")
    changed = recipes.videos(p, paths)
    assert changed != first
    path.unlink()
    assert recipes.videos(p, paths) not in (first, changed)
