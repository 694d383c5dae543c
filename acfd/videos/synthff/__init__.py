"""SynthFF: FaceForensics++ in miniature, made on the user's machine from generated people.

Stand-ins that imitate the artefacts of four methods; they show whether the road and the method
work and do not replace FaceForensics++.
"""

from acfd.videos.synthff.build import BuildError, build
from acfd.videos.synthff.people import PeopleError

__all__ = ["BuildError", "PeopleError", "build"]
