"""The systems that can be trained, by name: subclasses of `acfd.method.system.System`, as text, so
that reading params.yaml does not import torch, and a run depends on the one module it uses."""

from importlib import import_module

SYSTEMS = {
    "xception": "acfd.baselines.xception:XceptionSystem",
    "two_branch": "acfd.method.two_branch:TwoBranchSystem",
    "steg": "acfd.baselines.steg:StegSystem",
    "rahmouni": "acfd.baselines.rahmouni:RahmouniSystem",
    "meso4": "acfd.baselines.mesonet:Meso4System",
    "mesoinception4": "acfd.baselines.mesonet:MesoInception4System",
    "xray": "acfd.baselines.xray:XraySystem",
    "f3net": "acfd.baselines.f3net:F3NetSystem",
}


def module_of(name: str) -> str:
    """The module that a system is defined in."""
    return SYSTEMS[name].split(":")[0]


def find(name: str) -> type:
    """The class of a system."""
    return getattr(import_module(module_of(name)), SYSTEMS[name].split(":")[1])
