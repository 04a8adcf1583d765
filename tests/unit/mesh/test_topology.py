"""The file by which the platform tells the control plane what runs where."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from mesh.topology import TopologyError, dump, load, parse
from tests.unit.mesh.world import topology


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    dump(topology("abc"), path)
    assert load(path) == topology("abc")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda top: top.pop("ca"), "topology: missing or unknown: ca"),
        (lambda top: top.update(extra=1), "topology: missing or unknown: extra"),
        (lambda top: top.update(edges={}), "edges must be a list, not dict"),
        (lambda top: top["instances"].append(7), r"instances\[4\] must be an object, not int"),
        (lambda top: top["instances"][1].update(port="x"), r"instances\[1\].port must be int, not str"),
        (lambda top: top["instances"][0].update(port=True), r"instances\[0\].port must be int, not bool"),
        (lambda top: top["edges"][0].update(key=None), r"edges\[0\].key must be str, not NoneType"),
        (lambda top: top["edges"][0].update(operator_port=20_000), "127.0.0.1:20000 is claimed by edge-a-0"),
        (lambda top: top["instances"][1].update(id="storage-a-0"), "the id storage-a-0 is claimed"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_the_name_of_its_part(
    damage: Callable[[Any], None], message: str
) -> None:
    parts = json.loads(json.dumps(asdict(topology()), default=str))
    damage(parts)
    with pytest.raises(TopologyError, match=message):
        parse(parts)


def test_a_file_that_is_no_json_or_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    with pytest.raises(TopologyError, match=r"topology\.json"):
        load(path)
    path.write_text("{")
    with pytest.raises(TopologyError, match=r"topology\.json"):
        load(path)


def test_workers_share_the_port_zero() -> None:
    world = topology("abc")
    assert {one.port for one in world.of("analyse")} == {0}


def test_two_instances_on_one_port_are_refused() -> None:
    world = topology()
    storage, ingest, *_ = world.instances
    with pytest.raises(TopologyError, match="give one of them another"):
        replace(world, instances=(storage, replace(ingest, port=storage.port)))
