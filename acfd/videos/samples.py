"""A few clips to look at, of a data set in the tree of FaceForensics++."""

from collections.abc import Sequence
from pathlib import Path

from acfd.videos import check
from acfd.videos.ffpp import Tree


def forged_and_real(
    tree: Tree, methods: Sequence[str], compressions: Sequence[str]
) -> dict[str, Path]:
    """A forged test clip and the one that it was made of, or any real one where nobody knows which
    that is, at each of these compressions that both have files of: "forged, c40" -> file."""
    tests = [c for c in tree.clips(methods) if c.split == "test"]
    forged = next(c for c in tests if c.label)
    reals = [c for c in tests if not c.label]
    real = next((c for c in reals if c.target == forged.target), reals[0])
    # a quality that was made in extraction alone has no files; what it was made of has
    there = check.stored(tree, [forged, real], compressions)
    qualities = {q: q for q in there} or {"as stored": compressions[0]}
    return {
        f"{kind}, {name}": tree.video_path(clip, quality)
        for kind, clip in (("forged", forged), ("real", real))
        for name, quality in qualities.items()
    }
