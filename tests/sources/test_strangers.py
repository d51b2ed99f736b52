"""Files of strangers are read within limits of time and memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.sources.strangers import (
    MOST_DEPTH,
    UnreadableError,
    read_strangers_json,
    read_strangers_xml,
    read_strangers_yaml,
)


def tenfold(start: str, more: str, levels: int) -> bytes:
    """YAML in which each line holds the one before ten times."""
    lines = [start, *(f"a{n}: &a{n} {more}" % ", ".join([f"*a{n - 1}"] * 10) for n in range(1, levels))]
    return "\n".join(lines).encode()


HOSTILE = {
    "aliases": tenfold("a0: &a0 [x]", "[%s]", 10) + b"\nnames: *a9",
    "merges": tenfold("a0: &a0 {k: v}", "{<<: [%s]}", 9) + b"\nnames: *a8",
    "itself": b"names: &a [*a]",
    "depth": b"names: " + b"[" * 5000,
    "depth of maps": b"names: " + b"{a: " * 5000,
    "block depth": "\n".join(" " * n + "a:" for n in range(400)).encode(),
    "size": b"names: [" + b"a, " * 400_000 + b"]",
    "wide": b"[" + b"a," * 120_000 + b"]",
    "bytes": bytes(range(256)),
    "latin-1": "names: [é]".encode("latin-1"),
    "tag": b"names: !!python/object/apply:os.system [ls]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_in_little_time_and_memory(name: str) -> None:
    tracemalloc.start()
    start = time.process_time()
    try:
        found = read_strangers_yaml(HOSTILE[name])
        assert name == "tag" and found == {"names": ["ls"]}, "a tag says nothing here"
    except UnreadableError:
        assert name != "tag"
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 60 and peak < 200 << 20, (seconds, peak)


def test_values_are_the_words_that_are_written_and_a_few_aliases_are_no_harm() -> None:
    text = b"shared: &s [no, yes, on, 0x10, 2001-01-01, 1_0]\nnames: *s\nother: {0: *s}\n"
    words = ["no", "yes", "on", "0x10", "2001-01-01", "1_0"]
    assert read_strangers_yaml(text) == {"shared": words, "names": words, "other": {"0": words}}
    assert read_strangers_yaml(b"") is None
    assert read_strangers_yaml("﻿names: [ä]".encode()) == {"names": ["ä"]}
    nested = b"a: " + b"[" * (MOST_DEPTH - 1) + b"]" * (MOST_DEPTH - 1)
    assert isinstance(read_strangers_yaml(nested), dict)


json_like = st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(json_like)
@settings(max_examples=60, deadline=None)
def test_what_yaml_writes_is_read(value: object) -> None:
    text = yaml.safe_dump(value, default_style='"', allow_unicode=True).encode()
    assert read_strangers_yaml(text) == value


@given(st.binary(max_size=300) | st.text(alphabet="&*a[]{}:,- \n!|>'\"?#%@0.", max_size=60).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_are_no_yaml_no_json_and_no_xml_are_said_to_be_so(data: bytes) -> None:
    for read in (read_strangers_yaml, read_strangers_json, read_strangers_xml):
        with suppress(UnreadableError):
            read(data)


def test_json_of_any_encoding_is_read_and_its_depth_is_bounded() -> None:
    assert read_strangers_json(b"\xef\xbb\xbf" + json.dumps(["ä"]).encode()) == ["ä"]
    assert read_strangers_json(json.dumps(["ä"], ensure_ascii=False).encode("utf-16")) == ["ä"]
    for hostile in (b"[" * 200_000, b'{"a":' * 200_000, b"9" * 10_000):
        with pytest.raises(UnreadableError, match="no JSON"):
            read_strangers_json(hostile)


def test_xml_is_read_without_entities() -> None:
    assert read_strangers_xml("<a><b>ä</b></a>".encode()).findtext("b") == "ä"
    laughs = b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'
    outside = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    for hostile in (laughs, outside, b"<a>", b"\0", b"<?xml version='1.0' encoding='nonsense'?><a/>"):
        with pytest.raises(UnreadableError, match="no XML"):
            read_strangers_xml(hostile)
