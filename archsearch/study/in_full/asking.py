"""What is asked of a full training, completed by the study that its network is from."""

from dataclasses import replace
from pathlib import Path

from archsearch.archive.study_folder import check_writable
from archsearch.gathering import gather
from archsearch.ir.codec import content_hash, to_json
from archsearch.ir.graph import Graph
from archsearch.settings import SETTINGS, RunSettings
from archsearch.study.in_full.subject import inherited, plain_name


def completed(settings: RunSettings) -> RunSettings:
    """Return settings made in Python with those of the network's study, where they are at their defaults.

    Raises:
        UserError: the study can't be read.
    """
    defaults = {name: known.default for name, known in SETTINGS.items()}
    own = {key: v for key, v in settings.to_dict().items() if v != defaults.get(key)}
    return gather(own, study=inherited(settings))


def kept_graph(settings: RunSettings, graph: Graph) -> RunSettings:
    """Keep a network as a file of the home, and return settings that name it.

    Raises:
        UserError: the home can't be written.
    """
    folder = Path(settings.home) / "networks"
    check_writable(folder, "choose another home")
    folder.mkdir(parents=True, exist_ok=True)
    name = plain_name(Path(str(settings.network))) or "network"
    path = folder / f"{name}_{content_hash(graph)[:8]}.json"
    path.write_text(to_json(graph), encoding="utf-8")
    return replace(settings, network=str(path))
