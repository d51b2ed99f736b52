"""YAML, JSON and XML of strangers, read within limits of time and memory."""

from __future__ import annotations

import json
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import yaml
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

YAML_BYTES, XML_BYTES, JSON_BYTES = 1 << 20, 16 << 20, 512 << 20
"""Bytes of one file, at most. Each parser needs several times as much memory."""
MOST_VALUES, MOST_DEPTH = 100_000, 50
"""Values of one YAML file, each alias counted with all that it stands for, and how deep values may lie in values."""


_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Every scalar is a text. That of libyaml is a hundred times faster; not every PyYAML has it."""


class UnreadableError(ValueError):
    """A stranger's file is not read. The message says why, without the file's name."""


def read_strangers_yaml(data: bytes) -> Any:
    """What a stranger's YAML file holds, within limits of time and memory.

    Args:
        data: The file.

    Returns:
        Dictionaries, lists and texts. Each scalar is the text that is written: `no` is a word, and so is `0`.

    Raises:
        UnreadableError: It is no YAML, or too large, too deep, or grows without measure by its aliases.
    """
    _require_size(data, YAML_BYTES)
    try:
        _require_shape(data)
        loader = _Loader(data)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no YAML: {error}") from error


def _require_shape(data: bytes) -> None:
    """Raise `ValueError` for too many values, or values too deep in values, as soon as that is seen."""
    depth = 0
    for number, event in enumerate(yaml.parse(data, _Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if number > MOST_VALUES:
            raise ValueError(f"it holds more than {MOST_VALUES} values: cut it down to what labels need")
        if depth > MOST_DEPTH:
            raise ValueError(f"values lie more than {MOST_DEPTH} deep in values: write it flatter")


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Values in a node. Raises `ValueError` for more than MOST_VALUES, and for one that holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # what holds itself has no end
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    if known[id(node)] > MOST_VALUES:
        raise ValueError(f"its aliases make more than {MOST_VALUES} values of it: write it without")
    return known[id(node)]


def read_strangers_json(data: bytes) -> Any:
    """What a stranger's JSON file holds. Raises `UnreadableError`: it is no JSON, too large or too deep."""
    _require_size(data, JSON_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is no JSON: {error}") from error


def read_strangers_xml(data: bytes) -> Element:
    """The root of a stranger's XML file. Raises `UnreadableError`: it is no XML, too large, or defines entities."""
    _require_size(data, XML_BYTES)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UnreadableError(f"it is no XML: {error}") from error
    return root


def _require_size(data: bytes, limit: int) -> None:
    if len(data) > limit:
        raise UnreadableError(f"it has {len(data)} bytes, more than {limit}: cut it down to what labels need")
