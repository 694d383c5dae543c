"""`acfd detect`: the command, its files and its exit codes. As grep and diff have them: 0 every
file was judged and none is called forged; 1 at least one is; 2 at least one could not be judged, or
nothing could be started (this goes before 1)."""

import argparse
import json
import os
import sys
import traceback
from pathlib import Path

from tqdm import tqdm

from acfd.detector import media
from acfd.detector.core import Detector
from acfd.detector.media import MediaError

NONE_FORGED, FORGED, TROUBLE = 0, 1, 2


def run(args: argparse.Namespace) -> int:
    """Judge what is asked for; returns the exit code."""
    try:
        return _run(args)
    except BrokenPipeError:
        # whoever read the JSON has seen enough; Python would complain when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        # not left to the caller, whose 1 would say that something is forged
        written_for_users = type(error).__module__.startswith(("acfd.", "pydantic"))
        if args.traceback or not (written_for_users or isinstance(error, OSError)):
            traceback.print_exc()
        else:
            _complain(error)
    return TROUBLE


def _run(args: argparse.Namespace) -> int:
    if not args.path and not args.card:
        raise MediaError("nothing to judge; name images, videos or folders (or --card)")
    if args.out and args.out.exists() and not args.out.is_dir():
        raise MediaError(f"--out {args.out}: it is a file; name a folder, or one that is not there")
    keys = ("row", "seed", "frames", "backend")
    given = {k: v for k, v in vars(args).items() if k in keys and v is not None}
    detector = Detector(model=args.model, real=args.real, **given)
    if args.card:
        print(json.dumps(detector.about["card"], indent=1, ensure_ascii=False))
    out = args.out or (None if args.json else Path("detections"))
    quiet = not sys.stderr.isatty()
    files: dict[Path, tuple[Path, str]] = {}
    codes = {NONE_FORGED}
    for path in args.path:
        try:
            for file in media.find(path):
                # the results of a folder keep its structure
                name = file.relative_to(path).as_posix() if path.is_dir() else file.name
                files.setdefault(file.absolute(), (file, name))
        except (MediaError, OSError) as error:
            _complain(error)
            codes.add(TROUBLE)
    taken: set[str] = set()
    alone = quiet or len(files) < 2
    for file, name in tqdm(files.values(), desc="files", unit="file", disable=alone):
        free, n = name, 2
        while free in taken:  # a/clip.mp4 and b/clip.mp4 may both be named
            free, n = f"{name}-{n}", n + 1
        taken.add(free)
        detection = detector(file, progress=not quiet)
        report = detection.report
        codes.add({"forged": FORGED, "error": TROUBLE}.get(report.verdict, NONE_FORGED))
        with tqdm.external_write_mode():
            print(report.model_dump_json() if args.json else report.line(), flush=True)
            try:
                written = detection.write(out, free, not args.no_overlay) if out else {}
            except Exception as error:  # the others may still be written
                _complain(f"{out / free}: not written: {error}")
                codes.add(TROUBLE)
                continue
            if not args.json:
                print("    " + ", ".join(str(p) for p in written.values()), flush=True)
        detector.make_ready()  # the first answer has been given, others will come faster
    return max(codes)


def _complain(what: Exception | str) -> None:
    print(f"acfd detect: {what}", file=sys.stderr)
