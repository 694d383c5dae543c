"""One function over many items: on this machine by joblib, on one or many by Dask. Items are handed
out as they are needed, two ahead for each process; one that dies (killed, out of memory) takes none
with it: what it was at is given to another one."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import cv2
import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from acfd.sections import Compute

_DEATHS = 5  # of joblib's processes before it is no accident; Dask counts for each item (its 3)
_PATIENCE = 60  # seconds for a scheduler to answer and for the first worker to come


class SpreadError(RuntimeError):
    """No processes to work with, or they die again and again."""


def spread(task: Callable, items: Iterable[Any], compute: Compute) -> Iterator[Any]:
    """Yield task(item) of every item once, whichever is done first. It may be tried again after a
    process died, so `task` must bear to be repeated. What it raises is raised here. Raises
    SpreadError if no scheduler or worker is there within a minute, and if an item (Dask) or the
    whole (joblib) kills process after process."""
    if compute.backend == "dask":
        return _by_dask(task, items, compute)
    return _by_joblib(task, items, compute.jobs)


@contextmanager
def one_thread(what: str) -> Iterator[None]:
    """OpenCV on one thread, for a task beside others; an error gets a note of what it was at."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    except Exception as error:
        error.add_note(f"while {what}")
        raise
    finally:
        cv2.setNumThreads(threads)


def _by_joblib(task: Callable, items: Iterable[Any], jobs: int) -> Iterator[Any]:
    left = dict(enumerate(items))
    deaths = 0
    while left:
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=1)
        calls = (joblib.delayed(_numbered)(task, n, item) for n, item in list(left.items()))
        try:
            for n, result in parallel(calls):
                del left[n]
                yield result
        except TerminatedWorkerError as error:
            deaths += 1
            if deaths > _DEATHS:
                raise SpreadError(
                    f"processes died {deaths} times, with {len(left)} videos left, the next of "
                    f"them {next(iter(left.values()))}; memory may be short: lower compute.jobs "
                    "and run again, finished videos are kept"
                ) from error


def _numbered(task: Callable, n: int, item: Any) -> tuple[int, Any]:
    return n, task(item)


def _by_dask(task: Callable, items: Iterable[Any], compute: Compute) -> Iterator[Any]:
    from distributed import KilledWorker, as_completed

    with ExitStack() as stack:
        client = _client(compute, stack)
        here, waiting, named = partial(_in_folder, os.getcwd(), task), iter(items), {}
        running = as_completed(loop=client.loop)

        def hand_out():
            room = 2 * max(1, sum(client.nthreads().values())) - running.count()
            for item in islice(waiting, max(0, room)):
                future = client.submit(here, item, pure=False)
                named[future.key] = item
                running.add(future)

        hand_out()
        for future in running:
            try:
                result = future.result()
            except KilledWorker as error:
                raise SpreadError(
                    f"{named[future.key]}: processes died with it again and again; memory may be "
                    "short: give workers more, or fewer threads; finished videos are kept"
                ) from error
            del named[future.key]
            future.release()
            hand_out()  # workers may have come or gone
            yield result


def _in_folder(folder: str, task: Callable, item: Any) -> Any:
    """Run on a worker, whose files must be those of the machine that asks: paths are relative."""
    if os.getcwd() != folder:
        os.chdir(folder)
    return task(item)


def _client(compute: Compute, stack: ExitStack):
    """Dask's client for compute.scheduler (an address, or a scheduler file's path); null: a cluster
    of compute.jobs processes here. Both end with the stack."""
    from distributed import Client, LocalCluster

    where = compute.scheduler
    if where is None:
        cluster = LocalCluster(
            n_workers=compute.jobs, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        )
        return stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
    at = {"scheduler_file": where} if where.endswith(".json") else {"address": where}
    try:
        client = stack.enter_context(Client(**at, set_as_default=False, timeout=_PATIENCE))
    except (OSError, ValueError) as error:
        raise SpreadError(
            f"compute.scheduler {where}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler`, or set compute.scheduler to null for processes on this machine"
        ) from None
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError:
        raise SpreadError(
            f"compute.scheduler {where}: it has no worker after {_PATIENCE} seconds; start "
            f"some in this environment: `dask worker {where} --nthreads 1 --nworkers 8`"
        ) from None
    return client
