import pytest
from project import STATE

from acfd import mend

WHOLE = (STATE / "dvc.lock").read_text()
DONE = (
    WHOLE
    + """  train@pocket-new-0:
    cmd: python -m acfd notebook 03_train --row new --seed 0
    outs:
    - path: data/pocket/runs/new-s0
      hash: md5
      md5: 5d41402abc4b2a76b9719d911017c592.dir
      size: 81000000
      nfiles: 4
"""
)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose latest stage began with WHOLE as its dvc.lock."""
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:train@pocket-new-0")
    monkeypatch.setattr(mend.time, "sleep", lambda seconds: None)
    (tmp_path / "dvc.lock").write_text(WHOLE)
    mend.keep(tmp_path)
    return tmp_path


def test_a_half_written_rwlock_is_cleared_and_a_whole_one_kept(tmp_path):
    lock = tmp_path / ".dvc" / "tmp" / "rwlock"
    lock.parent.mkdir(parents=True)
    assert not mend.mend(tmp_path)
    lock.write_text('{"data": {"read": []}}')
    assert not mend.mend(tmp_path) and lock.exists()
    lock.write_text("")
    assert mend.mend(tmp_path) and not lock.exists()


# DVC refuses the first two, and believes the others: what is behind the cut was never run
@pytest.mark.parametrize("left", [0, WHOLE.index("md5:") + 2, len(WHOLE) // 2, len(DONE) - 3])
def test_a_dvc_lock_that_is_cut_off_is_put_back(study, left):
    (study / "dvc.lock").write_text(DONE[:left])
    said = mend.mend(study)
    assert len(said) == 1 and "cut off" in said[0]
    assert (study / "dvc.lock").read_text() == WHOLE
    assert not mend.mend(study)


def test_one_cut_off_between_two_stages_is_put_back(study):
    (study / "dvc.lock").write_text(DONE[: DONE.index("  table1@pocket:")])
    assert mend.mend(study) and (study / "dvc.lock").read_text() == WHOLE


@pytest.mark.parametrize("now", [DONE, WHOLE, WHOLE.replace("size: 7", "size: 8")])
def test_a_whole_dvc_lock_is_left_as_it_is(study, now):
    (study / "dvc.lock").write_text(now)
    assert not mend.mend(study) and (study / "dvc.lock").read_text() == now


def test_a_dvc_lock_that_someone_removed_stays_away(study):
    (study / "dvc.lock").unlink()
    assert not mend.mend(study) and not (study / "dvc.lock").exists()


def test_a_copy_is_kept_by_stages_only_and_never_of_half_a_file(study, monkeypatch):
    (study / "dvc.lock").write_text(DONE[:-1])
    mend.keep(study)
    assert (study / mend.KEPT).read_text() == WHOLE
    monkeypatch.delenv("DVC_STAGE")
    (study / "dvc.lock").write_text(DONE)
    mend.keep(study)
    assert (study / mend.KEPT).read_text() == WHOLE
