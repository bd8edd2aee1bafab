"""A linear layer made from a shape and a seed, for when there are no files."""

from __future__ import annotations

from fp4sim.errors import UsageError
from fp4sim.io.generators import GENERATORS
from fp4sim.io.synthetic import SyntheticTensor

_TENSORS = (("x", "outlier-channels"), ("w", "gaussian"), ("dy", "student-t"))


def synthetic_layer(
    tokens: int = 1024, inputs: int = 1024, outputs: int = 1024, seed: int = 0
) -> tuple[SyntheticTensor, SyntheticTensor, SyntheticTensor]:
    """x (tokens, inputs), w (outputs, inputs), dy (tokens, outputs), float32, the same for the same arguments.

    x: N(0, 1) with a hundredth of the channels times 15, at least one. w: N(0, 1). dy: Student's t of 5 degrees of
    freedom, heavy-tailed. They are the tensors of the ``synthetic`` source of the same shapes and seed. Raises
    UsageError for sizes below 1.
    """
    if min(tokens, inputs, outputs) < 1:
        raise UsageError(f"a layer of {tokens} tokens, {inputs} inputs and {outputs} outputs: each must be at least 1")
    if seed < 0:
        raise UsageError(f"seed {seed}: it must not be negative")
    shapes = {"x": (tokens, inputs), "w": (outputs, inputs), "dy": (tokens, outputs)}
    made = []
    for name, generator in _TENSORS:
        chosen = next(one for one in GENERATORS if one.name == generator)
        params = {param.name: param.default for param in chosen.params}
        made.append(SyntheticTensor(chosen, shapes[name], params, seed, "float32", name))
    return made[0], made[1], made[2]
