"""Which compilation target has which instruction, and which source is meant for which target: one table.

Checked with nvcc 13.0 and NVRTC 12.9, 13.0 and 13.5, which refuse everything else (PTX ISA 9.0, "Target ISA notes"). A source
that is not listed uses nothing special and is meant for every target from sm_80 on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# What CI compiles for: Ampere, Hopper, and Blackwell's three, with architecture-specific instructions where there are any.
CI_TARGETS = ("sm_80", "sm_90a", "sm_100a", "sm_103a", "sm_120a")


@dataclass(frozen=True)
class Feature:
    """Instructions that come together: the targets that have them."""

    title: str
    targets: frozenset[str]


CVT_FP4 = Feature(
    "conversion to FP4 and UE8M0 (compute capability 10.0 and later)",
    frozenset({"sm_100a", "sm_103a", "sm_110a", "sm_120a", "sm_121a", "sm_100f", "sm_120f"}),
)
CVT_RS_FP4 = Feature(
    "stochastic conversion to FP4 (compute capability 10.0 and 10.3)", frozenset({"sm_100a", "sm_103a"})
)
MMA_FP4 = Feature(
    "mma.sync with block scales (compute capability 12.0 and 12.1)", frozenset({"sm_120a", "sm_121a", "sm_120f"})
)


WGMMA = Feature("wgmma (compute capability 9.0)", frozenset({"sm_90a"}))


@dataclass(frozen=True)
class Source:
    """What a source needs, and what must be found in its disassembly, as regular expressions.

    ``gains``: instructions that it takes where a target has them, and does without elsewhere; ``machine`` is theirs then.
    ``builds``: the sets of macros that CI compiles it with, of those that it is compiled with in use.
    """

    needs: Feature | None = None
    machine: tuple[str, ...] = ()
    gains: Feature | None = None
    builds: tuple[tuple[str, ...], ...] = ((),)


_E2M1 = r"F2FP\.SATFINITE\.E2M1\.F32\.PACK_AB_MERGE_C(?!\.RS)"
_E4M3 = r"F2FP\.SATFINITE\.E4M3\.F32\.PACK_AB_MERGE_C"
_E8M0 = tuple(rf"F2FP\.SATFINITE\.E8\.F32\.PACK_AB_MERGE_C\.{rounding}\b" for rounding in ("RP", "RZ"))
_E8M0_INF = tuple(rf"F2FP\.E8\.F32\.PACK_AB_MERGE_C\.{rounding}\b" for rounding in ("RP", "RZ"))

_FUSED = ("BLOCK", "SCALES", "RANDOM", "TILE", "ADAPT", "UNROLL")  # fp4sim/gpu/fused.py


def _fused(kind: int, *values: int) -> tuple[str, ...]:
    return (f"INPUT={kind}", *(f"{name}={value}" for name, value in zip(_FUSED, values, strict=True)))


# NVFP4, MXFP4 rounded stochastically, NVFP4 in 16x16 tiles, four over six; every input dtype among them.
_FUSED_BUILDS = (
    _fused(1, 16, 0, 0, 0, 0, 4),
    _fused(0, 32, 3, 8, 0, 0, 1),
    _fused(2, 16, 0, 32, 1, 0, 2),
    _fused(1, 16, 0, 0, 0, 1, 1),
)

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "amax.cu": Source(builds=tuple((f"INPUT={kind}", "UNROLL=4") for kind in range(3))),
        "quantize.cu": Source(builds=_FUSED_BUILDS),
        "fake_quant.cu": Source(builds=_FUSED_BUILDS),
        "reciprocal.cu": Source(machine=(r"MUFU\.RCP\b",)),
        "dense_mma.cu": Source(None, (r"HGMMA\.", r"QGMMA\."), WGMMA),
        "gemm.cu": Source(None, (r"HGMMA\.",), WGMMA),
        "nvidia_casts.cu": Source(None, (_E2M1, _E4M3, *_E8M0, *_E8M0_INF), CVT_FP4),
        "blackwell_convert.cu": Source(CVT_FP4, (_E2M1, _E4M3, *_E8M0, *_E8M0_INF, r"F2FP\.F16\.E2M1\.UNPACK_B")),
        "blackwell_stochastic.cu": Source(CVT_RS_FP4, (r"F2FP\.SATFINITE\.E2M1\.F32\.PACK_AB_MERGE_C\.RS",)),
        "blackwell_quantize.cu": Source(CVT_FP4, (_E2M1, _E4M3, *_E8M0, r"F2FP\.F16\.E4M3\.UNPACK_B")),
        "blackwell_mma.cu": Source(
            MMA_FP4,
            (
                r"OMMA\.SF\.16864\.F32\.E2M1\.E2M1\.E8\b",
                r"OMMA\.SF\.16864\.F32\.E2M1\.E2M1\.UE4M3\.4X",
                r"QMMA\.SF\.16832\.F32\.E2M1\.E2M1\.E8\b",
            ),
        ),
    }
)

_PORTABLE = Source()


def source_of(name: str) -> Source:
    """The table's row."""
    return SOURCES.get(name, _PORTABLE)


def target_for(name: str, capability: tuple[int, int]) -> str:
    """The target to compile a source for on a device: with the device's own instructions where it takes them."""
    own, source = f"sm_{capability[0]}{capability[1]}", source_of(name)
    specific = source.needs is not None or (source.gains is not None and f"{own}a" in source.gains.targets)
    return f"{own}a" if specific else own


def refusal(name: str, target: str) -> str:
    """Why a source is not meant for a target; empty if it is."""
    needs = source_of(name).needs
    return "" if needs is None or target in needs.targets else f"{target} has no {needs.title}"


def one_target(name: str) -> str:
    """For where one is enough: Hopper's own, or the first of CI's that has what the source needs."""
    return next(target for target in (target_for(name, (9, 0)), *CI_TARGETS) if not refusal(name, target))


def machine_patterns(name: str, target: str) -> tuple[str, ...]:
    """What must be found in the disassembly of a source for a target, as regular expressions."""
    source = source_of(name)
    return () if source.gains is not None and target not in source.gains.targets else source.machine
