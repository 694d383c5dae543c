"""One list of dependencies, pinned, without addresses; a repository that keeps its own rules."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from project import STATE, TOP
from ruamel.yaml import YAML


def test_lock_pins_what_pyproject_asks_for():
    lines = (TOP / "requirements.lock").read_text().splitlines()
    pins = [re.match(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines]
    locked = {canonicalize_name(m[1]): m[2] for m in pins if m}
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    for wanted in project["dependencies"] + project["optional-dependencies"]["dev"]:
        r = Requirement(wanted)
        name = canonicalize_name(r.name)
        assert name in locked, f"{name} is in pyproject.toml, not in the lock: run `make lock`"
        assert r.specifier.contains(locked[name]), f"{name} {locked[name]} is not {r.specifier}"


def test_nothing_large_and_no_path_of_a_machine_is_tracked():
    home = re.compile(rb"/(home|root|Users)/[A-Za-z]|" + re.escape(str(TOP).encode() + b"/"))
    for path in (path for path in STATE.rglob("*") if path.is_file()):
        content = path.read_bytes()
        most = 5_000_000 if path.parent.parts[-2:] == ("full", "notebooks") else 2_000_000
        most = 45_000_000 if path == STATE / "detector" / "model.safetensors" else most
        assert len(content) < most, f"{path} is {len(content)} bytes"
        if path.name != Path(__file__).name:
            assert not home.search(content), f"{path} names a path of one machine"


def test_the_conda_file_is_a_wrapper_of_the_same_list_and_folders_are_ignored():
    env = YAML(typ="safe").load((TOP / "environment.yml").read_text())
    assert [d["pip"] for d in env["dependencies"] if isinstance(d, dict)] == [
        ["-r requirements.lock"]
    ]
    names = ["data/pocket/x", ".acfd/x", ".venv/x", "a/__pycache__/x", ".dvc/cache/x"]
    done = subprocess.run(["git", "check-ignore", *names], cwd=TOP, capture_output=True, text=True)
    assert done.stdout.split() == names
