"""Networks from files: a Graph JSON, a `.keras` or HDF5 file, a SavedModel that archsearch exported.

Nothing in a file is run and Keras is not imported, so a stranger's file can be looked at; an HDF5 file is
read by Keras, but in its safe mode and in another process.
"""

import json
import zipfile
from pathlib import Path
from typing import Final

from archsearch.errors import GraphError, UserError
from archsearch.exchange.formats.format import FACTS_FILE
from archsearch.exchange.keras_import import FROM_KERAS_2, first_line, from_config
from archsearch.ir.codec import from_dict, from_json
from archsearch.ir.graph import Graph
from archsearch.space.registry import load_baselines

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
MOST_CONFIG_BYTES: Final = 64 * 2**20  # NASNet-Large's is 2 MB; a zip can claim anything


def is_stored(path: Path) -> bool:
    """Tell whether what somebody named is a file of a network, or a folder, and no baseline's name."""
    if path.suffix.lower() in {".json", ".keras", ".h5", ".hdf5"} or path.is_dir():
        return True
    return path.is_file() and str(path) not in load_baselines()


def load_keras_file(path: Path, *, input: tuple[int, int, int] | None = None) -> Graph:
    """Return the network of a `.keras` file, running nothing in it (see `from_keras`).

    Raises:
        UserError: it is no `.keras` file, or carries code (a Lambda layer, a class of its own).
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no .keras file (a zip archive); save it with model.save()")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if FACTS_FILE in names:
                return _sized(_graph_of(_text(archive, FACTS_FILE)), input)
            if "config.json" not in names:
                raise UserError(f"{path} is a zip archive without config.json, no .keras file")
            document = json.loads(_text(archive, "config.json"))
            if "metadata.json" in names:
                _check_version(json.loads(_text(archive, "metadata.json")))
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from None
    try:
        return from_config(document, input=input)
    except RecursionError:
        raise UserError(f"{path}: its models are nested too deeply") from None


def load_saved_model(folder: Path) -> Graph:
    """Return the network of a SavedModel that archsearch exported: the Graph stored in it.

    Raises:
        UserError: the folder holds none.
    """
    facts = folder / "assets.extra" / FACTS_FILE
    if facts.is_file():
        try:
            return _graph_of(facts.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{facts} cannot be read: {first_line(error)}") from None
    what = (
        "a SavedModel, but not one archsearch exported"
        if (folder / "saved_model.pb").is_file()
        else "no SavedModel"
    )
    raise UserError(
        f"{folder} is {what}: it has no {facts.name}; save the Keras model as .keras and check that"
    )


def load_network(path: Path, *, input: tuple[int, int, int] | None = None) -> Graph:
    """Return the network of a Graph JSON, a `.keras` file or an exported SavedModel.

    Raises:
        UserError: it is none of them, or takes images of another size than `input`.
    """
    if path.is_dir():
        return _sized(load_saved_model(path), input)
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            return _sized(from_json(path.read_text(encoding="utf-8")), input)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {first_line(error)}") from None
    if suffix in {".h5", ".hdf5"}:
        return _load_h5(path, input)
    return load_keras_file(path, input=input)


def _load_h5(path: Path, input: tuple[int, int, int] | None) -> Graph:
    from archsearch.exchange.legacy_h5 import h5_config

    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if start != _HDF5:
        raise UserError(f"{path} is no HDF5 file; save the model with model.save()")
    return from_config(h5_config(path), input=input)


def _check_version(metadata: object) -> None:
    version = str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""
    if version.startswith("2."):
        raise UserError(f"the file was written by Keras {version}; {FROM_KERAS_2}")


def _graph_of(text: str) -> Graph:
    facts = json.loads(text)
    return from_dict(facts.get("graph") if isinstance(facts, dict) else None)


def _sized(graph: Graph, input: tuple[int, int, int] | None) -> Graph:
    if input is not None and input != graph.input:
        raise GraphError(f"the model takes images of {graph.input}, not {input}")
    return graph


def _text(archive: zipfile.ZipFile, name: str) -> str:
    if archive.getinfo(name).file_size > MOST_CONFIG_BYTES:
        raise ValueError(f"its {name} is larger than {MOST_CONFIG_BYTES // 2**20} MB")
    return archive.read(name).decode("utf-8")
