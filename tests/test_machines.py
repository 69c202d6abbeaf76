"""docs/machines.md: what it gives to copy is taken by those it is for."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = Path(__file__).parents[1] / "docs" / "machines.md"


@pytest.fixture
def files() -> dict[str, dict[str, Any]]:
    """The YAML files on the page, by their last headings."""
    found, heading = {}, ""
    for part in re.split(r"^(#+ [^\n]*|```yaml\n.*?^```)$", PAGE.read_text(), flags=re.M | re.S):
        if part.startswith("#"):
            heading = part.strip("# `")
        elif part.startswith("```yaml"):
            found[heading] = yaml.safe_load(part.removeprefix("```yaml").removesuffix("```"))
    return found


@pytest.mark.skipif(find_spec("ray") is None, reason="the schema comes with Ray")
def test_ray_up_takes_the_cluster_file(files: dict[str, dict[str, Any]]) -> None:
    import jsonschema

    spec = find_spec("ray")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    schema = Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    jsonschema.validate(files["ray up"], json.loads(schema.read_text()))
    types = files["ray up"]["available_node_types"]
    assert files["ray up"]["head_node_type"] in types
    assert types["worker"]["max_workers"] <= files["ray up"]["max_workers"]


def test_the_manifest_is_a_cluster_whose_parts_belong_together(
    files: dict[str, dict[str, Any]],
) -> None:
    manifest = files["KubeRay"]
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    spec = manifest["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert len(images) == 1, "driver and nodes have the same archsearch"
    [head] = pods[0]["containers"]
    assert {mount["name"] for mount in head["volumeMounts"]} == {
        volume["name"] for volume in pods[0]["volumes"]
    }
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_its_ray_is_the_one_that_is_tested(files: dict[str, dict[str, Any]]) -> None:
    pinned = (PAGE.parents[1] / "constraints.txt").read_text()
    [version] = re.findall(r"^ray==(.*)$", pinned, re.M)
    assert files["KubeRay"]["spec"]["rayVersion"] == version
    named = re.findall(r"rayproject/ray:([\d.]+)-py311", PAGE.read_text())
    assert set(named) == {version}
