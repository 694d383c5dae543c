"""`acfd detect`: the command, its files and its exit codes.

Exit codes, as grep and diff have them: 0 every file was judged and none is called forged; 1 at
least one is; 2 at least one could not be judged, or nothing could be started (this goes before 1).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path

from tqdm import tqdm

from acfd.detect import media
from acfd.detect.core import Detection, Detector
from acfd.detect.media import MediaError
from acfd.detect.report import Report

NONE_FORGED, FORGED, TROUBLE = 0, 1, 2


def run(args: argparse.Namespace) -> int:
    """Judge what is asked for; returns the exit code."""
    try:
        return _run(args)
    except BrokenPipeError:
        # whoever read the JSON has seen enough; Python would complain when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return TROUBLE
    except Exception as error:
        # 1 would say that something is forged
        if args.traceback or not _is_ours(error):
            traceback.print_exc()
        else:
            print(f"acfd detect: {error}", file=sys.stderr)
        return TROUBLE


def _run(args: argparse.Namespace) -> int:
    if not args.path and not args.card:
        raise MediaError("nothing to judge; name images, videos or folders (or --card)")
    given = {k: getattr(args, k) for k in ("row", "seed", "frames", "backend")}
    given = {k: v for k, v in given.items() if v is not None}
    detector = Detector(model=args.model, **given)
    if args.card:
        print(json.dumps(detector.about["card"], indent=1, ensure_ascii=False))
    out = args.out or (None if args.json else Path("detections"))
    files, troubles = _files(args.path)
    for error in troubles:
        print(f"acfd detect: {error}", file=sys.stderr)
    found = dict.fromkeys((NONE_FORGED, FORGED, TROUBLE), 0)
    found[TROUBLE] = len(troubles)
    quiet = args.quiet or not sys.stderr.isatty()
    bar = tqdm(files, desc="files", unit="file", disable=quiet or len(files) < 2)
    names: set[str] = set()
    for file, name in bar:
        detection = detector(file, progress=not quiet)
        report = detection.report
        with tqdm.external_write_mode():
            print(report.to_json() if args.json else report.line(), flush=True)
            if out:
                found[TROUBLE] += not _write(detection, out, _free(name, names), args)
        found[_code(report)] += 1
    if found[TROUBLE]:
        return TROUBLE
    return FORGED if found[FORGED] else NONE_FORGED


def _files(paths: list[Path]) -> tuple[list[tuple[Path, str]], list[Exception]]:
    """Files to judge with the names of their results, which keep a folder's structure; and what is
    wrong with the other paths."""
    files, troubles = {}, []
    for path in paths:
        try:
            for file in media.find([path]):
                name = file.relative_to(path).as_posix() if path.is_dir() else file.name
                files.setdefault(file.absolute(), (file, name))
        except (MediaError, OSError) as error:
            troubles.append(error)
    return list(files.values()), troubles


def _free(name: str, taken: set[str]) -> str:
    """A name that no other file of this call has: a/clip.mp4 and b/clip.mp4 may both be named."""
    free, n = name, 2
    while free in taken:
        free, n = f"{name}-{n}", n + 1
    taken.add(free)
    return free


def _write(detection: Detection, out: Path, name: str, args: argparse.Namespace) -> bool:
    """Whether what was found could be written; if not, the others may still be."""
    try:
        written = detection.write(out, name, overlay=not args.no_overlay)
    except Exception as error:
        print(f"acfd detect: {out / name}: not written: {error}", file=sys.stderr)
        return False
    if not args.json:
        print("    " + ", ".join(str(p) for p in written.values()), flush=True)
    return True


def _code(report: Report) -> int:
    return {"forged": FORGED, "error": TROUBLE}.get(report.verdict, NONE_FORGED)


def _is_ours(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.startswith(("acfd.", "pydantic"))
