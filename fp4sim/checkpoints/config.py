"""What the JSON files beside a checkpoint say of its quantization; all of it optional, none of it trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fp4sim.errors import UnreadableError
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.strict_json import parse_object

NAMES = ("config.json", "hf_quant_config.json")
_LARGEST = 64 << 20
_FORMATS = {"nvfp4": "NVFP4", "mxfp4": "MXFP4"}


@dataclass(frozen=True)
class Config:
    """Facts of the configuration: each is empty where nothing says it.

    ``method``: compressed-tensors, modelopt, mxfp4, quark. ``algorithms``: the formats as they are spelled there.
    ``group_sizes``: block sizes of 4-bit weights. ``ignored``: modules left unquantized. ``problems``: files that could
    not be read. ``documents``: the files as they are.
    """

    method: str = ""
    algorithms: tuple[str, ...] = ()
    group_sizes: frozenset[int] = frozenset()
    ignored: tuple[str, ...] = ()
    producer: str = ""
    problems: tuple[str, ...] = ()
    documents: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def formats(self) -> frozenset[str]:
        """The 4-bit formats that are named, e.g. NVFP4."""
        text = " ".join(self.algorithms).lower()
        return frozenset(name for key, name in _FORMATS.items() if key in text)

    def evidence(self) -> list[str]:
        """One line for what the configuration says."""
        facts = {
            "quant_method": self.method,
            "format": ", ".join(self.algorithms),
            "group_size": ", ".join(map(str, sorted(self.group_sizes))),
            "producer": self.producer,
        }
        said = ", ".join(f"{key} {shown(value, 60)}" for key, value in facts.items() if value)
        lines = [f"{' and '.join(self.documents)}: {said}"] if said else []
        return [*lines, *self.problems]


def read_config(path: str | Path) -> Config:
    """The configuration beside a checkpoint (a file, an index, or a folder). Never raises for a damaged one."""
    location = Path(path)
    folder = location if location.is_dir() else location.parent
    documents: dict[str, dict[str, Any]] = {}
    problems = []
    for name in NAMES:
        try:
            if (folder / name).exists():
                documents[name] = _document(folder / name)
        except (UnreadableError, OSError) as error:
            problems.append(shown(str(error), 300))
    return _facts(documents, tuple(problems))


def _document(path: Path) -> dict[str, Any]:
    file = PositionedFile(path)
    try:
        if file.size > _LARGEST:
            raise UnreadableError(f"{file.label}: {file.size} bytes; the limit is {_LARGEST}")
        return parse_object(file.read(0, file.size).tobytes(), file.label)
    finally:
        file.close()


def _facts(documents: dict[str, dict[str, Any]], problems: tuple[str, ...]) -> Config:
    inner = _object(documents.get("config.json", {}), "quantization_config")
    outer = documents.get("hf_quant_config.json", {})
    hf = _object(outer, "quantization")
    groups = [group for group in _object(inner, "config_groups").values() if isinstance(group, dict)]
    groups += [group for group in _object(hf, "quantized_layers").values() if isinstance(group, dict)]
    weights = [_object(group, "weights") for group in groups]
    spelled = [inner.get("format"), inner.get("quant_algo"), hf.get("quant_algo")]
    spelled += [group.get(key) for group in groups for key in ("format", "quant_algo")]
    if inner.get("quant_method") == "mxfp4":
        spelled.append("mxfp4")
    sizes = [inner.get("group_size"), hf.get("group_size"), *(group.get("group_size") for group in groups)]
    sizes += [weight.get("group_size") for weight in weights if weight.get("num_bits") == 4]
    ignored = [name for key in ("ignore", "modules_to_not_convert") for name in _strings(inner.get(key))]
    producer = _object(outer, "producer") or _object(inner, "producer")
    return Config(
        method=_text(inner.get("quant_method")) or ("modelopt" if hf else ""),
        algorithms=tuple(dict.fromkeys(_text(text) for text in spelled if _text(text))),
        group_sizes=frozenset(size for size in sizes if type(size) is int and size > 0),
        ignored=tuple(dict.fromkeys([*ignored, *_strings(hf.get("exclude_modules"))])),
        producer=" ".join(filter(None, (_text(producer.get("name")), _text(producer.get("version"))))),
        problems=problems,
        documents=documents,
    )


def _object(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
