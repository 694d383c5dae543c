"""The folders are the road: nothing in one imports from one further on, and nothing in a circle."""

from graphlib import TopologicalSorter
from pathlib import Path

from acfd import sources

TOP = Path(__file__).parents[1] / "acfd"
ROAD = [
    ["params", "sections", "paths", "registry", "sources"],
    ["media"],
    ["videos"],
    ["faces"],
    ["method"],
    ["runs"],
    ["baselines"],
    ["scores"],
    ["results"],
    ["figures"],
    ["stages"],
    ["detector"],
    ["cli", "__main__"],
]


MODULES = {
    ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__"): path
    for path in TOP.rglob("*.py")
}
GRAPH = {  # as the digests of code find it
    name: {other for other in sources._look(path.read_text())[1] if other in MODULES}
    for name, path in MODULES.items()
    if name != "__init__"
}


def test_every_import_goes_down_the_road():
    floor = {room: n for n, rooms in enumerate(ROAD) for room in rooms}
    assert {name.split(".")[0] for name in GRAPH} == set(floor), "a room that the road lacks"
    up = [
        f"{name} imports {other}"
        for name, others in GRAPH.items()
        for other in others
        if floor[other.split(".")[0]] > floor[name.split(".")[0]]
    ]
    assert not up


def test_no_two_modules_import_each_other_by_any_way_round():
    assert len(list(TopologicalSorter(GRAPH).static_order())) >= len(GRAPH)
