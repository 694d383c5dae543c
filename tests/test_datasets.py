"""Celeb-DF-v2, DFDC and a user's own files: who is in which split, and the same shards."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import moving, remux
from pydantic import ValidationError

from acfd import cli, videos
from acfd.faces.extract import extract
from acfd.faces.shards import PairTable, read_shard
from acfd.media.timing import Timing
from acfd.media.video import VideoError, read_frames, write_video
from acfd.results.metrics import identity_units
from acfd.sections import OTHER
from acfd.videos.check import survey
from acfd.videos.compress import QualityError, at_hand, make, recipe
from acfd.videos.ffpp import REAL, SHARES, Tree, TreeError
from acfd.videos.sets import DFDC, CelebDF, FileClip, Folder, Table, divide, name_of


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def by_split(clips):
    found = {}
    for clip in clips:
        found.setdefault(clip.split, []).append(clip.video)
    return found


def people(clips):
    """Person -> the splits that he or she is in."""
    found = {}
    for clip in clips:
        for person in {clip.target, clip.source} - {""}:
            found.setdefault(person, set()).add(clip.split)
    return found


def units(clips):
    """How many groups of people are resampled as one."""
    return len(set(identity_units(pd.DataFrame([vars(c) | {"label": c.label} for c in clips]))))


def film(path, portrait, frames=4, size=128, crf=10):
    write_video(path, moving(portrait, frames, size, size), 25.0, crf=crf, preset="ultrafast")


def look(files, high="raw", low="c40", **options):
    return survey(files, [files.method], high, low, progress=False, **options)


# Who is in which split


def clip(method, person, n=0, source=""):
    return FileClip(method, f"{person}-{n}", person, source, "", f"{person}-{n}.mp4")


def test_a_set_is_divided_by_people_in_about_the_official_shares():
    fakes = [clip("Forged", f"f{p}", n, f"f{p}") for p in range(50) for n in range(2)]
    reals = [clip(REAL, f"r{p}") for p in range(200)]
    done = divide(fakes + reals, SHARES, 0)
    assert all(len(splits) == 1 for splits in people(done).values())
    for label, total in ((1, 100), (0, 200)):
        count = Counter(c.split for c in done if c.label == label)
        assert count == pytest.approx({s: part * total for s, part in SHARES.items()}, abs=2.5)
    assert done == divide(fakes + reals, SHARES, 0) != divide(fakes + reals, SHARES, 1)


def test_the_largest_group_is_trained_on_and_no_split_is_empty():
    clips = [clip("Forged", "big", n, "big") for n in range(90)]
    clips += [clip("Forged", p, 0, p) for p in ("x", "y", "z")]
    done = divide(clips, SHARES, 0)
    assert people(done)["big"] == {"train"}
    assert {c.split for c in done} == {"train", "val", "test"}
    with pytest.raises(TreeError, match=r"has 1 group\(s\) of people .* data.splits to test"):
        divide(clips[:90], SHARES, 0)


CELEB = [
    *(f"Celeb-real/id{p}_000{n}.mp4" for p in range(9) for n in range(2)),
    *("Celeb-synthesis/id0_id1_0000.mp4", "Celeb-synthesis/id1_id2_0001.mp4"),
    *("Celeb-synthesis/id3_id4_0000.mp4", "Celeb-synthesis/id4_id3_0001.mp4"),
    *("Celeb-synthesis/id5_id6_0000.mp4", "Celeb-synthesis/id8_id7_0000.mp4"),
    *(f"YouTube-real/000{n:02d}.mp4" for n in range(30)),
]


def test_celeb_df_keeps_people_apart(tmp_path):
    touch(tmp_path, *CELEB, "Celeb-real/notes.txt")
    clips = CelebDF(tmp_path).clips(["CelebDF"])
    assert len(clips) == len(CELEB) and len({(c.method, c.video) for c in clips}) == len(CELEB)
    assert all(len(splits) == 1 for splits in people(clips).values())
    forged = next(c for c in clips if c.video == "id1_id2_0001")
    assert (forged.target, forged.source, forged.label) == ("id1", "id2", 1)  # id1's video
    (tube,) = (c for c in clips if c.video == "00007")
    assert (tube.method, tube.target, tube.source) == (REAL, "youtube-00007", "")
    for split in ("train", "val", "test"):
        assert {c.label for c in clips if c.split == split} == {0, 1}
    assert people(clips)["id0"] == {"train"}  # the largest group: id0, id1, id2
    assert units(clips) == 4 + 30


def test_celeb_df_to_score_is_its_official_list(tmp_path):
    touch(tmp_path, *CELEB)
    lines = ["1 YouTube-real/00003.mp4", "0 Celeb-synthesis/id0_id1_0000.mp4", ""]
    (tmp_path / "List_of_testing_videos.txt").write_text("\n".join(lines))
    files = CelebDF(tmp_path, test_only=True)
    assert by_split(files.clips(["CelebDF"])) == {"test": ["00003", "id0_id1_0000"]}
    for line in ("0 YouTube-real/00003.mp4", "1 elsewhere/x.mp4", "what"):
        (tmp_path / "List_of_testing_videos.txt").write_text(line)
        with pytest.raises(TreeError, match=r"videos.txt, line 1: found .* expected 1 and a file"):
            files.clips(["CelebDF"])
    (tmp_path / "List_of_testing_videos.txt").unlink()
    with pytest.raises(TreeError, match=r"videos.txt: no such file; it comes with Celeb-DF-v2"):
        files.clips(["CelebDF"])
    touch(tmp_path, "Celeb-synthesis/id0_0000.mp4")
    with pytest.raises(TreeError, match=r"does not say who it is; expected one as id0_id1_0000"):
        CelebDF(tmp_path).clips(["CelebDF"])
    with pytest.raises(TreeError, match="no videos in Celeb-real, YouTube-real, Celeb-synthesis"):
        CelebDF(tmp_path / "nowhere").clips(["CelebDF"])


def metadata(folder, entries):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.json").write_text(json.dumps(entries))


def dfdc_part(root, n, split="train"):
    """A part of two originals and three forgeries of them."""
    real = {f"r{n}{k}.mp4": {"label": "REAL", "split": split, "original": None} for k in "ab"}
    fake = {
        f"f{n}{k}{i}.mp4": {"label": "FAKE", "split": split, "original": f"r{n}{k}.mp4"}
        for k, i in (("a", 0), ("a", 1), ("b", 0))
    }
    metadata(root / f"dfdc_train_part_{n}", real | fake)


def test_dfdc_forgeries_stay_with_their_originals(tmp_path):
    for n in range(4):
        dfdc_part(tmp_path, n)
    clips = DFDC(tmp_path).clips(["DFDC"])
    assert len(clips) == 20 and all(len(s) == 1 for s in people(clips).values())
    forged = next(c for c in clips if c.video == "f2a1")
    assert (forged.target, forged.file) == ("r2a", "dfdc_train_part_2/f2a1.mp4")
    assert {c.split for c in clips} == {"train", "val", "test"}
    assert units(clips) == 8


def test_dfdc_parts_stay_together_where_there_are_many(tmp_path):
    for n in range(12):
        dfdc_part(tmp_path, n)
    clips = DFDC(tmp_path).clips(["DFDC"])
    parts = {}
    for c in clips:
        parts.setdefault(Path(c.file).parent.name, set()).add(c.split)
    assert len(parts) == 12 and all(len(splits) == 1 for splits in parts.values())
    assert Counter(next(iter(s)) for s in parts.values())["train"] in (8, 9)


def test_dfdc_as_one_part_with_its_own_splits_and_the_labels_of_its_test_set(tmp_path):
    entries = {
        "a.mp4": {"label": "REAL", "split": "train"},
        "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
        "c.mp4": {"is_fake": 1, "split": "test"},
        "d.mp4": {"is_fake": 0, "split": "validation"},
    }
    metadata(tmp_path, entries)
    clips = DFDC(tmp_path).clips(["DFDC"])
    assert by_split(clips) == {"train": ["a", "b"], "val": ["d"], "test": ["c"]}
    assert [c.label for c in clips] == [0, 1, 0, 1]
    everything = DFDC(tmp_path, test_only=True).clips(["DFDC"])
    assert by_split(everything) == {"test": ["a", "d", "b", "c"]}
    for wrong in ({"label": "SOFT"}, {"label": "REAL", "split": "later"}, 7):
        metadata(tmp_path, {"a.mp4": wrong})
        with pytest.raises(TreeError, match=r"metadata.json"):
            DFDC(tmp_path).clips(["DFDC"])
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(TreeError, match=r"no metadata.json in it or in its folders"):
        DFDC(tmp_path).clips(["DFDC"])


def test_a_folder_of_real_and_fake(tmp_path):
    touch(tmp_path, *(f"real/{n}.mp4" for n in range(8)), *(f"fake/{n}.MOV" for n in range(6)))
    touch(tmp_path, "fake/deep/er/ü x.png", "real/.DS_Store", "real/read.me", "other/z.mp4")
    clips = Folder(tmp_path).clips(["Forged"])
    assert len(clips) == 15 and all(len(s) == 1 for s in people(clips).values())
    (deep,) = (c for c in clips if c.file == "fake/deep/er/ü x.png")
    assert deep.video == name_of("deep/er/ü x.png") and deep.video.startswith("deep-er-x-")
    forged = next(c for c in clips if c.file == "fake/3.MOV")
    original = next(c for c in clips if c.file == "real/3.mp4")
    assert forged.target == forged.source == original.target  # often the name of its original
    with pytest.raises(TreeError, match="no videos or images in its folders real and fake"):
        Folder(tmp_path / "other").clips(["Forged"])
    touch(tmp_path, "real/3.jpg")
    with pytest.raises(TreeError, match=r"the same name as real/3.jpg; rename one"):
        Folder(tmp_path).clips(["Forged"])


def test_what_detect_takes_a_set_takes_and_the_rest_is_named(tmp_path):
    taken = {"real/a.mpg", "real/b.avif", "fake/a.mkv", "fake/c.jpe"}
    touch(tmp_path, *taken, "real/a.heic", "real/notes", "fake/.DS_Store", "fake/\udcfd.txt")
    files = Folder(tmp_path, test_only=True)
    assert {c.file for c in files.clips(["Forged"])} == taken
    problems = look(files, jobs=2).problems.set_index("video")["what"]
    odd = ["real/a.heic", "real/notes", "fake/\\udcfd.txt"]
    assert set(problems.index) == {"a", "b", "c", *odd}  # all are empty
    assert "passed over: no video or image that is known" in problems["real/a.heic"]


def test_a_link_that_leads_nowhere_is_missing(tmp_path):
    touch(tmp_path, *(f"{label}/{n}.mp4" for label in ("real", "fake") for n in range(3)))
    (tmp_path / "real" / "gone.mp4").symlink_to(tmp_path / "disk" / "gone.mp4")
    found = survey(Folder(tmp_path, test_only=True), ["Forged"], "raw", "c40", progress=False)
    assert ("gone", "missing") in zip(found.problems["video"], found.problems["kind"])


def test_a_folder_with_splits_keeps_them_and_takes_validation_from_training(tmp_path):
    names = [f"{s}/{kind}/{n}.png" for s in ("train", "test") for kind in ("real", "fake")
             for n in range(20)]  # fmt: skip
    touch(tmp_path, *names)
    clips = Folder(tmp_path).clips(["Forged"])
    count = Counter((c.split, c.file.partition("/")[0]) for c in clips)
    assert count["test", "test"] == 40 and count["test", "train"] == 0
    assert count["val", "train"] == pytest.approx(0.14 * 40, abs=2)
    touch(tmp_path, "real/x.png")
    with pytest.raises(TreeError, match=r"some files have a split and some none, as real/x.png"):
        Folder(tmp_path).clips(["Forged"])


def table(tmp_path, *lines):
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    return Table(tmp_path / "mine.csv")


def test_a_table(tmp_path):
    files = table(
        tmp_path,
        "path,label,split,target,source",
        "a/x.mp4,real,train,ann,",
        "a/y.mp4,1,train,ann,bob",
        "z.png,FAKE,test,,",
        "/far/w.mp4,0,val,,",
    )
    clips = {c.file: c for c in files.clips(["Forged"])}
    assert (clips["a/y.mp4"].target, clips["a/y.mp4"].source) == ("ann", "bob")
    z = clips["z.png"]
    assert (z.target, z.source, z.split) == ("z", "z", "test")
    assert files.video_path(z, "raw") == tmp_path / "z.png"
    assert files.video_path(clips["/far/w.mp4"], "raw") == Path("/far/w.mp4")
    (tmp_path / "c40").mkdir()
    with pytest.raises(TreeError, match=r"/far/w.mp4: an absolute path"):
        files.video_path(clips["/far/w.mp4"], "c40")
    with pytest.raises(TreeError, match=r"none.csv: no such file"):
        Table(tmp_path / "none.csv").clips(["Forged"])


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["file,label", "a,0"], r"no column path; found \['file', 'label'\]"),
        (["path,label", "a.mp4,maybe"], r"mine.csv, line 2: found .*maybe"),
        (["path,label", "a\0.mp4,0"], r"line 2: found"),
        (["path,label"], r"it names no files"),
        (["path,label,split", "a.mp4,0,test", "b.mp4,1,"], r"some none, as b.mp4"),
        (
            ["path,label,split", "a.mp4,0,train", "b.mp4,1,val"],
            r"none of its files is of test",
        ),
        (
            ["path,label,split,target", "a.mp4,0,train,ann", "b.mp4,1,test,ann"],
            r"ann is in two splits, train \(a.mp4\) and test \(b.mp4\)",
        ),
        (["path,label", "a.mp4,0", "a.png,0"], r"a.png: the same name as a.mp4"),
        (["path,label", "a.mp4,0", "./a.mp4,1"], r"mine.csv, line 3: ./a.mp4 is named again"),
        (["path,label", "a.mp4,0,x"], r"mine.csv: lines have more fields than \['path', 'label'\]"),
    ],
)
def test_a_table_that_is_wrong_is_said(tmp_path, lines, says):
    with pytest.raises(TreeError, match=says):
        table(tmp_path, *lines).clips(["Forged"])


# Params


def of_set(make_params, source, root, **data):
    """Params of another set, whose files are high quality as they are stored."""
    base = make_params(faces={"frames": 2})
    said = {"source": source, "root": str(root), "methods": [OTHER[source]], "high": "raw"}
    section = type(base.data)(**base.data.model_dump() | said | data)
    return base.model_copy(update={"data": section})


def test_params_name_the_set_and_its_qualities(make_params, tmp_path):
    def made(source, root=tmp_path, **data):
        return of_set(make_params, source, root, **data)

    for source, cls in (("celebdf", CelebDF), ("dfdc", DFDC), ("folder", Folder)):
        files = videos.tree(made(source))
        assert type(files) is cls and files.method == OTHER[source]
        assert (files.base, files.test_only, files.seed) == ("", False, 0)
    assert type(videos.tree(made("folder", "my/table.csv"))) is Table
    assert videos.tree(made("dfdc", splits="test")).test_only
    assert videos.tree(made("dfdc", splits="seeded:7")).seed == 7
    with pytest.raises(ValidationError, match=r"splits is somewhere; for dfdc it is null"):
        made("dfdc", splits="somewhere")
    with pytest.raises(ValidationError, match=r"the set dfdc has only \[DFDC\]"):
        made("dfdc", methods=["CelebDF"])
    assert isinstance(videos.tree(make_params()), Tree)
    for wrong in ("c99", "c52", "jpeg0", "jpeg101", "h264"):
        with pytest.raises(QualityError, match=f"no quality {wrong!r}; expected raw"):
            videos.tree(made("celebdf", low=wrong))


# The low quality, made


@pytest.fixture(scope="module")
def video(portraits, tmp_path_factory):
    path = tmp_path_factory.mktemp("v") / "a.mp4"
    film(path, portraits[0], size=97)
    return path


def test_h264_is_that_of_faceforensics(video, tmp_path):
    make(video, tmp_path / "c40.mp4", "c40")
    frames = [f for _, f in read_frames(video)]
    write_video(tmp_path / "expected.mp4", frames, 25.0, crf=40)
    assert (tmp_path / "c40.mp4").read_bytes() == (tmp_path / "expected.mp4").read_bytes()
    assert (tmp_path / "c40.mp4").stat().st_size < video.stat().st_size / 2


def test_jpeg_is_each_frame_on_its_own_and_nothing_else(video, tmp_path):
    make(video, tmp_path / "j.mp4", "jpeg20")
    frames = zip(read_frames(video), read_frames(tmp_path / "j.mp4"), strict=True)
    for (_, before), (_, after) in frames:
        data = cv2.imencode(".jpg", before[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
        assert np.array_equal(after[:, :, ::-1], cv2.imdecode(data, cv2.IMREAD_COLOR_BGR))


def test_what_cannot_be_compressed_is_named_and_nothing_stays(video, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:-300])
    for source in (cut, tmp_path / "none.mp4"):
        with (
            pytest.raises(VideoError, match=source.name),
            at_hand({"raw": source, "c40": source}, {"c40": "x"}, Timing()),
        ):
            pass
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_video_that_changes_its_size_is_named(portraits, tmp_path):
    parts = []
    for size in (96, 64):
        write_video(tmp_path / "x.mp4", moving(portraits[0], 3, size, size), 25.0, crf=20)
        remux(tmp_path / "x.mp4", tmp_path / "x.h264")
        parts.append((tmp_path / "x.h264").read_bytes())
    (tmp_path / "mine.ts").write_bytes(b"".join(parts))
    said = r"mine\.ts: frame 3 is 64x64, those before 96x96; make"
    for quality in ("c40", "jpeg30"):
        with pytest.raises(VideoError, match=said):
            make(tmp_path / "mine.ts", tmp_path / "made.mp4", quality)


def test_a_picture_that_no_codec_takes_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.full((8, 20000, 3), 99, np.uint8))
    said = r"wide.png: 20000x8; H.264 has at most 16384 a side: scale it down"
    with pytest.raises(VideoError, match=said):
        make(tmp_path / "wide.png", tmp_path / "made.mp4", "c40")


# The same shards


@pytest.fixture(scope="module")
def celeb(portraits, tmp_path_factory):
    root = tmp_path_factory.mktemp("celeb")
    names = ["Celeb-real/id0_0000", "Celeb-real/id1_0000", "Celeb-synthesis/id0_id1_0000"]
    for n, name in enumerate(names):
        film(root / f"{name}.mp4", portraits[n])
    lines = [f"{int('real' in name)} {name}.mp4" for name in names]
    (root / "List_of_testing_videos.txt").write_text("\n".join(lines) + "\n")
    return root


def test_a_set_without_masks_ends_in_the_same_shards(celeb, make_params, tmp_path):
    params = of_set(make_params, "celebdf", celeb, splits="test")
    files = videos.tree(params)
    index, left_out, timing = extract(params, files, tmp_path, progress=False)
    assert left_out.empty and timing.clips == 3 and timing.compress > 0
    table = PairTable(tmp_path)
    names = ["id0_0000", "id1_0000", "id0_id1_0000"]
    assert list(index["video"]) == np.repeat(names, 2).tolist()
    clips = {c.video: c for c in files.clips(["CelebDF"])}
    make(files.video_path(clips["id0_id1_0000"], "c40"), tmp_path / "low.mp4", "c40")
    for i in range(len(table)):
        pair = table.read(i)
        x0, y0, x1, y1 = pair["box"].astype(int)
        path = celeb / clips[pair["video"]].file
        low = tmp_path / "low.mp4" if pair["label"] else None
        for name, source in (("high", path), ("low", low)):
            if source:
                ((_, frame),) = read_frames(source, [pair["frame"]])
                cut = cv2.resize(frame[y0:y1, x0:x1], (48, 48), interpolation=cv2.INTER_AREA)
                assert np.array_equal(pair[name], cut)
        assert not pair["mask"].any()
        assert np.abs(pair["low"].astype(int) - pair["high"]).mean() > 0.5
    # what is not known is said
    assert table.masked.tolist() == [True] * 4 + [False] * 2
    # made once, and another quality anew
    _, _, timing = extract(params, files, tmp_path, progress=False)
    assert (timing.clips, timing.compress) == (0, 0)
    params = of_set(make_params, "celebdf", celeb, low="jpeg30", high="c23", splits="test")
    _, _, timing = extract(params, videos.tree(params), tmp_path, progress=False)
    said = read_shard(tmp_path / "original" / "id0_0000.arrow")[1]
    assert timing.clips == 3 and said["made"] == {q: recipe(q) for q in ("c23", "jpeg30")}


def test_names_may_be_any_bytes(portraits, make_params, tmp_path):
    """One that is no UTF-8 is extracted, or is said to be broken, as any other."""
    for name in (b"real/\xff.mp4", b"fake/10:30 \xfe.mp4", b"fake/\xfd.mp4"):
        film(tmp_path / "mine" / os.fsdecode(name), portraits[0])
    (tmp_path / "mine" / "fake" / os.fsdecode(b"\xfd.mp4")).write_bytes(b"no video")
    params = of_set(make_params, "folder", tmp_path / "mine", splits="test")
    index, _, _ = extract(params, videos.tree(params), tmp_path / "faces", progress=False)
    assert list(index["label"]) == [0, 0, 1, 1]
    assert r"\udcfd.mp4: not a readable video" in (tmp_path / "faces/left_out.csv").read_text()


def test_images_and_pairs_that_are_there(portraits, make_params, tmp_path):
    """<root>/<quality>/ wins over compressing; an image may have another ending there."""
    root, rng = tmp_path / "mine", np.random.default_rng(0)
    for n, kind in enumerate(("real", "fake")):
        face = cv2.cvtColor(portraits[n][:300], cv2.COLOR_RGB2BGR)
        for quality in ("raw", "messenger"):
            (root / quality / kind).mkdir(parents=True)
        cv2.imwrite(str(root / "raw" / kind / "a.png"), face)
        noisy = np.clip(face + rng.normal(0, 9, face.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "messenger" / kind / "a.jpg"), noisy)
    params = of_set(make_params, "folder", root, low="messenger", splits="test")
    files = videos.tree(params)
    found = look(files, low="messenger")
    assert files.base == "raw" and found.problems.empty
    assert (found.index()[["bytes_high", "bytes_low"]] > 0).all(axis=None)
    index, left_out, timing = extract(params, files, tmp_path / "faces", progress=False)
    assert left_out.empty and index["frame"].tolist() == [0, 0] and timing.compress == 0
    pair = PairTable(tmp_path / "faces").read(0)
    x0, y0, x1, y1 = pair["box"].astype(int)
    for name, quality, ending in (("high", "raw", "png"), ("low", "messenger", "jpg")):
        picture = cv2.imread(str(root / quality / "real" / f"a.{ending}"))[:, :, ::-1]
        cut = cv2.resize(picture[y0:y1, x0:x1], (48, 48), interpolation=cv2.INTER_AREA)
        assert np.abs(pair[name].astype(int) - cut).max() <= 4  # two decoders of JPEG
    # the same images, compressed
    params = of_set(make_params, "folder", root / "raw", low="jpeg40", splits="test")
    index, left_out, timing = extract(
        params, videos.tree(params), tmp_path / "made", progress=False
    )
    assert left_out.empty and len(index) == 2 and timing.compress > 0


def test_the_check_and_the_index_of_a_set(celeb, make_params, tmp_path):
    root = shutil.copytree(celeb, tmp_path / "celeb")
    files = videos.tree(of_set(make_params, "celebdf", root, splits="test"))
    found = look(files)
    assert found.problems.empty and found.notes == [] and found.sound == found.clips
    assert found.folders["what"].tolist() == ["raw", "raw"]  # c40 is made
    index = found.index()
    assert index["frames"].tolist() == [4] * 3 and index["width"].tolist() == [128] * 3
    assert (index["bytes_high"] > 0).all() and (index["bytes_low"] == 0).all()
    assert look(files, high="c23").folders["what"].tolist() == ["stored", "stored"]
    with (root / "List_of_testing_videos.txt").open("a") as f:
        f.write("1 YouTube-real/00009.mp4\n")
    (problem,) = look(files).problems.itertuples()
    assert (problem.video, problem.what) == ("00009", "no raw of YouTube-real/00009.mp4")


def test_the_command_checks_a_set(celeb, make_params, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    says = ((None, 1, "group(s) of people"), ("test", 0, "3 of 3 clips can be used, 0 problems"))
    for splits, code, text in says:
        p = of_set(make_params, "celebdf", celeb, splits=splits)
        monkeypatch.setattr(cli, "load", lambda p=p: p)
        assert cli.main(["check"]) == code
        assert text in "".join(capsys.readouterr())
