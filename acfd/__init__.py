"""acfd: metric learning for anti-compression facial forgery detection (Cao et al., ACM MM 2021)."""

import os
import sys
from pathlib import Path

__version__ = "0.1.0"

# OpenCV reads it when it is loaded: a small file may hold a picture of gigabytes
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))


def _leave_notebooks():
    """JupyterLab starts a kernel in its notebook's folder; every path of the project, those in
    params.yaml among them, is seen from the folder above. Elsewhere nothing is changed."""
    here = Path.cwd()
    in_project = here.name == "notebooks" and (here.parent / "params.yaml").is_file()
    if in_project and "ipykernel" in sys.modules:
        os.chdir(here.parent)


_leave_notebooks()


def __getattr__(name: str):
    # `from acfd import Detector` works, and `import acfd` loads nothing
    if name == "Detector":
        from acfd.detector.core import Detector

        return Detector
    raise AttributeError(f"module 'acfd' has no attribute {name!r}")
