"""Processes that really die, schedulers that are really there: nothing is lost or comes twice."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from acfd.faces.extract import extract
from acfd.faces.parallel import SpreadError, spread
from acfd.videos.ffpp import Tree


@pytest.fixture
def compute(make_params):
    def make(**values):
        return make_params(compute=values).compute

    return make


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes behind a scheduler at an address, as on another machine."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
    ):
        yield cluster


def square(n):
    return n * n


def die_once(folder, n):
    """The process that first comes to the item 3 dies of it."""
    if n == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def die(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def refuse(n):
    if n == 5:
        raise OSError(28, "no room to write it")
    return n


def where(compute, cluster, backend, **more):
    return compute(backend=backend, scheduler=cluster.scheduler_address, jobs=2, **more)


@pytest.mark.parametrize("backend", ["joblib", "dask"])
def test_every_item_once_and_what_a_task_raises(compute, cluster, backend):
    found = list(spread(square, range(40), where(compute, cluster, backend)))
    assert sorted(found) == [n * n for n in range(40)]
    assert list(spread(square, [], where(compute, cluster, backend))) == []
    with pytest.raises(OSError, match="no room to write it"):
        list(spread(refuse, range(8), where(compute, cluster, backend)))


@pytest.mark.parametrize("backend", ["joblib", "dask"])
def test_a_killed_process_loses_and_doubles_nothing(compute, cluster, tmp_path, backend):
    found = spread(partial(die_once, tmp_path), range(12), where(compute, cluster, backend))
    assert sorted(found) == list(range(12))
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize(
    ("backend", "says"), [("dask", "^3: processes died"), ("joblib", "^processes died 2 times")]
)
def test_an_item_that_kills_every_process_is_an_error(compute, cluster, monkeypatch, backend, says):
    monkeypatch.setattr("acfd.faces.parallel._DEATHS", 1)
    with pytest.raises(SpreadError, match=says):
        list(spread(die, [3], where(compute, cluster, backend)))


def test_dask_is_handed_no_more_than_it_can_use(compute, cluster):
    taken = []
    items = (taken.append(n) or n for n in range(200))
    found = spread(square, items, where(compute, cluster, "dask"))
    for done in range(1, 21):
        next(found)
        assert len(taken) <= done + 2 * 2  # two for each of two threads
    found.close()


def test_a_cluster_of_its_own(compute):
    """scheduler null: as many processes here as compute.jobs."""
    found = set(spread(_pid, range(20), compute(backend="dask", scheduler=None, jobs=2)))
    assert 1 <= len(found) <= 2 and os.getpid() not in found


def _pid(_):
    time.sleep(0.02)
    return os.getpid()


def test_a_scheduler_that_is_not_there(compute, monkeypatch, tmp_path):
    monkeypatch.setattr("acfd.faces.parallel._PATIENCE", 1)
    at = compute(backend="dask", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(SpreadError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there"):
        list(spread(square, [1], at))
    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty:
        at = compute(backend="dask", scheduler=empty.scheduler_address)
        with pytest.raises(SpreadError, match=r"it has no worker after 1 seconds; start some"):
            list(spread(square, [1], at))


def test_faces_by_dask_are_the_same(cluster, make_tree, make_params, tmp_path, monkeypatch):
    """By processes that were started elsewhere (paths are relative to this folder), and by two
    threads of one process."""
    monkeypatch.chdir(tmp_path)
    tree = make_tree(tmp_path / "videos", pairs={"train": [("000", "001"), ("002", "003")]})
    near = Tree(tree.root.relative_to(tmp_path))
    extract(make_params(), tree, Path("one"), progress=False)
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
    ) as threads:
        for name, at in (("processes", cluster), ("threads", threads)):
            compute = {"backend": "dask", "scheduler": at.scheduler_address}
            extract(make_params(compute=compute), near, Path(name), progress=False)
            for path in Path("one").rglob("*.arrow"):
                assert path.read_bytes() == Path(name, *path.parts[1:]).read_bytes()
