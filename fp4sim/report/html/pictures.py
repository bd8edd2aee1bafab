"""Figures inside a page: SVG without style attributes, which the page's policy forbids, and with ids of their own."""

from __future__ import annotations

import re

_STYLE = re.compile(r'\sstyle="([^"]*)"')
_ID = re.compile(r'(\sid="|url\(#|href="#)')
_PROLOGUE = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_SHEET = re.compile(r"<defs>\s*<style\b.*?</style>\s*</defs>|<style\b.*?</style>|<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(<svg\b[^>]*?)\swidth="[^"]*"|(<svg\b[^>]*?)\sheight="[^"]*"')


def inline_svg(svg: str, index: int) -> str:
    """The figure number ``index`` of a page: declarations as attributes, ids that no other figure has."""
    text = _SHEET.sub("", _PROLOGUE.sub("", svg))
    text = _STYLE.sub(lambda match: _attributes(match[1]), text)
    return _ID.sub(lambda match: f"{match[1]}f{index}-", text).strip()


def _attributes(style: str) -> str:
    """Declarations as presentation attributes."""
    pairs = (part.partition(":") for part in style.split(";") if ":" in part)
    return "".join(f' {name.strip()}="{value.strip()}"' for name, _, value in pairs)
