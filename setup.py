"""Packages, which pyproject.toml cannot say: those found, and cuda/ (which has no __init__.py) as fp4sim/_cuda."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fp4sim", "fp4sim.*"]), "fp4sim._cuda"],
    package_dir={"fp4sim._cuda": "cuda"},
)
