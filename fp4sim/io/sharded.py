"""Models split over several safetensors files: by their index, or every file of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from fp4sim.errors import UnreadableError
from fp4sim.io.files import PositionedFile, shown, unreadable
from fp4sim.io.safetensors import MAX_HEADER, SafetensorsSource
from fp4sim.io.source import Source, Tensor
from fp4sim.io.strict_json import is_text, parse_object

_INDEX = "model.safetensors.index.json"


class ShardedSource(Source):
    """Several safetensors files as one source: shards in name order, each shard's tensors in data order."""

    def __init__(self, label: str, shards: dict[str, SafetensorsSource], wanted: dict[str, str] | None) -> None:
        """Join ``shards`` (by file name); ``wanted`` maps tensor to shard, None takes every tensor.

        Raises UnreadableError for a wanted tensor its shard lacks, and for a name that two shards hold.
        """
        super().__init__(label)
        self._shards = shards
        found: dict[str, str] = {}
        self._tensors: list[Tensor] = []
        for shard, source in sorted(shards.items()):
            for tensor in source.tensors():
                name = tensor.info.name
                if wanted is not None and wanted.get(name) != shard:
                    continue
                if name in found:
                    raise UnreadableError(
                        f"{label}: tensor '{shown(name, 80)}' is in both {shown(found[name])} and {shown(shard)}; "
                        "open one of the files alone"
                    )
                found[name] = shard
                self._tensors.append(tensor)
        for name, shard in (wanted or {}).items():
            if name not in found:
                raise UnreadableError(
                    f"{label}: tensor '{shown(name, 80)}' is not in {shown(shard)}, where the index puts it"
                )

    def tensors(self) -> list[Tensor]:
        """The tensors of all shards."""
        return list(self._tensors)

    def close(self) -> None:
        """Close every shard."""
        for source in self._shards.values():
            source.close()


def open_index(path: Path) -> ShardedSource:
    """Open a ``*.safetensors.index.json``; its weight_map alone says which tensors there are.

    Raises UnreadableError for a malformed index, a shard outside the index's folder, a missing shard or tensor.
    """
    file = PositionedFile(path)
    try:
        if file.size > MAX_HEADER:
            raise UnreadableError(f"{file.label}: index of {file.size} bytes; the limit is {MAX_HEADER}")
        document = parse_object(file.read(0, file.size).tobytes(), f"{file.label}: index")
    finally:
        file.close()
    weight_map = document.get("weight_map")
    if not isinstance(weight_map, dict):
        raise UnreadableError(f"{file.label}: index has no weight_map object")
    wanted: dict[str, str] = {}
    for name, shard in weight_map.items():
        where = f"{file.label}: tensor '{shown(name, 80)}'"
        if not is_text(name) or not isinstance(shard, str) or not is_text(shard):
            raise UnreadableError(f"{where}: the weight_map must map strings to strings")
        if not _stays_inside(shard):
            raise UnreadableError(f"{where}: shard '{shown(shard, 80)}' is not a .safetensors file of the folder")
        wanted[name] = shard
    return _join(file.label, path.parent, wanted.values(), wanted)


def open_folder(path: Path) -> ShardedSource:
    """Open a folder: by its index if it has one, else every ``*.safetensors`` in it by name.

    Raises UnreadableError for a folder with neither, or with several indexes.
    """
    label = shown(str(path))
    try:
        names = sorted(item.name for item in path.iterdir())
    except OSError as error:
        raise unreadable(path, error) from None
    indexes = [name for name in names if name.endswith(".safetensors.index.json")]
    if _INDEX in indexes:
        return open_index(path / _INDEX)
    if len(indexes) > 1:
        raise UnreadableError(f"{label}: several indexes ({shown(', '.join(indexes))}); open one of them")
    if indexes:
        return open_index(path / indexes[0])
    shards = [name for name in names if name.endswith(".safetensors")]
    if not shards:
        raise UnreadableError(f"{label}: the folder holds neither {_INDEX} nor any *.safetensors file")
    return _join(label, path, shards, None)


def _stays_inside(shard: str) -> bool:
    parts = PurePosixPath(shard).parts
    plain = not any(char in shard for char in "\\:\0")
    return plain and shard.endswith(".safetensors") and not shard.startswith("/") and ".." not in parts


def _join(label: str, folder: Path, shards: Iterable[str], wanted: dict[str, str] | None) -> ShardedSource:
    opened: dict[str, SafetensorsSource] = {}
    try:
        for shard in sorted(set(shards)):
            try:
                exists = (folder / shard).exists()
            except OSError as error:
                raise unreadable(folder / shard, error) from None
            if not exists:
                raise UnreadableError(f"{label}: shard {shown(shard)} is missing from {shown(str(folder))}; fetch it")
            opened[shard] = SafetensorsSource(folder / shard)
        return ShardedSource(label, opened, wanted)
    except BaseException:
        for source in opened.values():
            source.close()
        raise
