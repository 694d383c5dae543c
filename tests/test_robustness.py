"""Scores of copies: what the network says of each stored picture."""

import numpy as np
import pandas as pd
import pytest
import torch
from trained import write_run

from acfd.faces import shards
from acfd.paths import Paths
from acfd.runs import run
from acfd.scores import copies, on_copies
from acfd.scores.copies import Copies

SIZE = 48
LEVELS = [("none", 0.0), ("jpeg", 50.0), ("jpeg", 30.0)]


@pytest.fixture(scope="module")
def params(make_params):
    return make_params(
        faces={"size": SIZE}, compute={"workers": 0, "accelerator": "cpu"}, score={"batch": 4}
    )


def row_of(step, picture) -> dict:
    return dict(zip(copies.SCHEMA.names, (*step, 1, shards.encode_png(picture))))


@pytest.fixture
def paths(tmp_path, params) -> Paths:
    """A run of Meso-4 and copies of six noise faces at three levels."""
    paths = Paths("pocket", tmp_path)
    write_run(params, paths, "meso4")
    rng = np.random.default_rng(0)
    rows = []
    for n in range(6):
        fake = n % 2
        method, video = ("Deepfakes", f"{n}_{n - 1}") if fake else ("original", f"{n}")
        pictures = rng.integers(0, 256, (len(LEVELS), SIZE, SIZE, 3), np.uint8)
        crops = [row_of(level, picture) for level, picture in zip(LEVELS, pictures)]
        shard = f"{method}/{video}.arrow"
        shards.write(paths.copies / shard, copies.SCHEMA, crops, f"key{n}")
        said = (method, video, str(n), str(n - 1) if fake else "", "test", fake, 1)
        rows += [(*said, f, level, shard, k) for k, (f, level) in enumerate(LEVELS)]
    shards.write_index(paths.copies, pd.DataFrame(rows, columns=copies.INDEX_COLUMNS))
    (paths.copies / copies.NOTE).write_text('{"made_of": "raw", "left_out": {}}')
    return paths


def test_every_copy_gets_the_score_of_its_own_picture(params, paths):
    found = on_copies.score(params, "meso4", 0, paths, progress=False)
    stored = pd.read_parquet(paths.robustness("meso4", 0))
    pd.testing.assert_frame_equal(found, stored)
    assert len(found) == 18 and found["score"].dtype == np.float32
    assert (found[["row", "seed", "made_of"]] == ["meso4", 0, "raw"]).all(axis=None)
    net = run.load_run(paths.run("meso4", 0), params)[0].deployed
    store = Copies(paths.copies)
    for i, at in store.index.iterrows():
        with torch.inference_mode():
            expected = float(net(torch.from_numpy(store[i])[None].float() / 127.5 - 1).score)
        keys = ["family", "level", "method", "video", "frame"]
        line = found[(found[keys] == at[keys]).all(axis=1)]
        assert len(line) == 1 and line["score"].item() == pytest.approx(expected, abs=1e-5)
        assert line["label"].item() == at["label"] and line["source"].item() == at["source"]
