"""The measure of prose: what counts as a sentence, and what is a problem."""

from __future__ import annotations

from pathlib import Path

import pytest
from prose import AVERAGE, LONGEST, OLD_WORDS, main, measure, measure_python, read_old_words

OLD = {"taught": "trained"}
SHORT = "A short one.\n" * 9
LONG = f"This sentence has {'very ' * LONGEST}many words.\n"


def test_sentences_of_paragraphs_and_lists_are_counted_and_nothing_else() -> None:
    text = "# A heading of six words\n\nOne two `three four`.\nFive (see e.g. six), 0.5 of it.\n\n- Seven eight\n"
    text += "\n```sh\nnot prose at all\n```\n\n| a cell | another |\n|---|---|\n| of a | table |\n\n<b>no</b>\n"
    found = measure(text, OLD)
    assert found.lengths == [3, 7, 2, 1] and not found.problems


@pytest.mark.parametrize("text", [LONG, f"| head |\n|---|\n| {LONG.strip()} |\n"])
def test_a_long_sentence_is_a_problem_in_a_table_as_well(text: str) -> None:
    problems = measure(f"{SHORT}\n{text}", OLD).problems
    assert len(problems) == 1 and f"at most {LONGEST}: This sentence has very" in problems[0]


def test_long_sentences_on_average_are_a_problem() -> None:
    sentence = f"This has {'so ' * int(AVERAGE)}many.\n"
    (problem,) = measure(sentence * 3, OLD).problems
    assert problem == f"18.0 words a sentence on average, at most {AVERAGE:g}"


def test_old_words_are_a_problem_except_in_code() -> None:
    assert measure("It was Taught.\n", OLD).problems == ["line 1: not `taught`, but trained"]
    assert measure("| head |\n|---|\n| taught |\n", OLD).problems == ["line 3: not `taught`, but trained"]
    assert not measure("The name `taught` is old.\n", OLD).problems


def test_a_line_holds_one_sentence() -> None:
    (two,) = measure("It is one. It is another.\n", OLD).problems
    assert two == "line 1: a line holds two sentences: It is another."
    (none,) = measure("It goes\non here.\n", OLD).problems
    assert none == "line 1: a sentence goes on in the next line: on here."


def test_a_file_with_a_problem_fails_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("It is short.\n")
    bad.write_text(SHORT + LONG)
    assert main([str(good)]) == 0
    capsys.readouterr()
    assert main([str(good), str(bad)]) == 1
    assert capsys.readouterr().err.startswith(f"{bad}: line 1: 40 words")


def test_python_is_measured_and_only_reported(tmp_path: Path) -> None:
    source = f'"""{LONG}"""\n\nraise ValueError(f"no such file as {{path}}: make it")\nNAME = "short"\n'
    assert measure_python(source).lengths == [40, 7]
    (tmp_path / "module.py").write_text(source)
    assert main(["--python", str(tmp_path)]) == 0


def test_each_entry_of_a_section_of_a_docstring_is_a_sentence() -> None:
    source = '''def f() -> None:
    """Do it.

    Args:
        lake: Where the images
            lie.
        name: Of the model. It is short.

    Returns:
        The key.
    """
'''
    assert measure_python(source).lengths == [2, 1, 5, 4, 3, 1, 2]


def test_the_list_of_old_words_is_read() -> None:
    listed = read_old_words(OLD_WORDS)
    assert {"told", "taught", "squares"} <= listed.keys() and all(listed.values())
