"""The Deepfake Detection Challenge data set (Dolhansky et al., 2020), as downloaded.

    <root>/dfdc_train_part_0/metadata.json     {"aa.mp4": {"label": "FAKE", "split": "train",
    <root>/dfdc_train_part_0/aa.mp4                        "original": "bb.mp4"}, ...}

or one such part as root. The released test set says is_fake (1 or 0) in place of label, and no
original. Who is seen is not published: a forgery counts as the person of its original. Parts hardly
share actors, so where there are ten or more, a part stays together.
"""

from __future__ import annotations

import json
from pathlib import Path

from acfd.datasets.base import FileClip, FileSet, clip_of
from acfd.ffpp import REAL, SPLITS, TreeError

METADATA = "metadata.json"
PARTS = 10  # so many let whole parts be dealt to splits in useful shares
_LABELS = {"REAL": 0, "FAKE": 1, "0": 0, "1": 1}


class DFDC(FileSet):
    """DFDC or parts of it; what a forgery is called is DFDC."""

    method = "DFDC"

    def listed(self) -> list[FileClip]:
        depths = (METADATA, f"*/{METADATA}", f"*/*/{METADATA}")
        found = [path for depth in depths for path in sorted(self.stored.glob(depth))]
        if not found:
            raise TreeError(
                f"{self.stored}: no {METADATA} in it or in its folders; set data.root to the "
                "folder that holds the parts of DFDC"
            )
        return [clip for path in found for clip in self._part(path)]

    def _part(self, path: Path) -> list[FileClip]:
        try:
            entries = [(name, dict(e)) for name, e in json.loads(path.read_text()).items()]
        except (ValueError, TypeError, AttributeError) as error:
            raise TreeError(f"{path}: not the metadata of a part of DFDC: {error}") from None
        folder = path.parent.relative_to(self.stored)
        clips = []
        for name, entry in entries:
            label = str(entry.get("label", entry.get("is_fake", ""))).upper()
            split = {"validation": "val"}.get(entry.get("split", ""), entry.get("split", ""))
            if label not in _LABELS or split not in ("", *SPLITS):
                raise TreeError(
                    f"{path}: {name} has {entry}; expected a label REAL or FAKE, or is_fake, and a "
                    "split train, validation or test"
                )
            method = self.method if _LABELS[label] else REAL
            person = Path(entry.get("original") or name).stem
            said = {"name": Path(name).name, "split": split, "target": person}
            clips.append(clip_of(method, str(folder / name), **said))
        return clips

    def _joined(self, clips):
        parts = {clip.target: str(Path(clip.file).parent) for clip in clips}
        if len(set(parts.values())) < PARTS:
            return super()._joined(clips)
        return [(clip.target, f"part {Path(clip.file).parent}") for clip in clips]
