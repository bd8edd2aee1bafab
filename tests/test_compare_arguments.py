"""Arguments of compare that do not fit."""

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"formats": ""}, "at least one"),
        ({"formats": "nvfp5"}, "'nvfp5'"),
        ({"formats": "nvfp4@ts:given"}, "ts:given"),
        ({"axis": 2}, "axis 2 is not one of shape"),
        ({"threads": 0}, "0 threads"),
        ({"nonfinite": "drop"}, "'error', 'propagate' or 'ignore'"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, says):
    with pytest.raises(UsageError, match=says):
        fp4sim.compare(np.ones((4, 32), np.float32), **arguments)
