"""From when on a report says something. Every sentence names the thresholds that it rests on, and reports show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Threshold:
    """``value`` in ``unit`` (``%`` means a share of 1), and what it decides."""

    name: str
    value: float
    unit: str
    decides: str

    @property
    def text(self) -> str:
        """The value with its unit."""
        if self.unit == "%":
            return f"{100 * self.value:g} %"
        return f"{self.value:g} {self.unit}".rstrip()


THRESHOLDS: dict[str, Threshold] = {
    row.name: row
    for row in (
        Threshold("snr difference", 0.1, "dB", "two formats differ on a tensor from here on"),
        Threshold("agreement", 0.9, "%", "share of tensors that must say the same for a sentence about two formats"),
        Threshold("few tensors", 8, "tensors", "with fewer all must say the same, and none is called an outlier"),
        Threshold("outlier distance", 3.0, "dB", "an outlier lies at least so far below the median SNR …"),
        Threshold("outlier spread", 6.0, "× MAD", "… and so many median absolute deviations"),
        Threshold("scale underflow", 0.02, "%", "share of a tensor's blocks whose scale became zero"),
        Threshold("subnormal scales", 0.10, "%", "share of a tensor's blocks whose scale is subnormal"),
        Threshold("clipping", 0.25, "%", "share of a tensor's squared error from elements beyond the largest code"),
        Threshold("flushed", 0.25, "%", "share of a tensor's elements that became zero"),
        Threshold("shrinkage", 0.02, "%", "how far <x, x̂>/<x, x> lies from 1"),
        Threshold("accumulation", 0.1, "%", "share of a product's squared error from which on accumulation matters"),
        Threshold("cast", 0.5, "%", "share of a product's squared error from which on the output's dtype limits it"),
        Threshold("product difference", 0.1, "dB", "two formats differ on a product from here on"),
        Threshold("variance ratio", 1.1, "×", "unbiased estimators differ in variance from here on"),
        Threshold("rounding test", 1e-6, "p", "below this the random bits round up too often or too seldom"),
        Threshold("explained", 1.0, "%", "share of the differences that a cause must reproduce to be called theirs"),
    )
}

NAMED = 5  # of the tensors or cases that a sentence is about
