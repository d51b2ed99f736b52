"""YAML in which a key that stands twice is an error: plain YAML would take the last without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """What a file holds. Raises `FileNotFoundError`, or `yaml.YAMLError`, which names line and column."""
    return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - it is a SafeLoader
