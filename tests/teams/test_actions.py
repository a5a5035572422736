"""Fenced blocks become tool calls; what is malformed is told, and nothing is guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teams.actions import as_blocks, fenced, parse_actions


def acts(text: str) -> list[tuple[str, dict[str, object]]]:
    parsed = parse_actions(text)
    assert parsed.problems == []
    return [(call["name"], call["args"]) for call in parsed.calls]


def trouble(text: str) -> str:
    parsed = parse_actions(text)
    assert parsed.calls == []
    assert len(parsed.problems) == 1
    return str(parsed.problems[0])


def test_each_kind_of_block_is_an_action_in_its_order() -> None:
    text = (
        "I begin.\n\n```write src/a.py\nx = 1\n```\nThen:\n"
        "~~~~edit src/b.py\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n~~~~\n"
        "```bash\npytest -q\n```\n"
        '```call read_file\n{"path": "x"}\n```\n'
    )
    assert acts(text) == [
        ("write_file", {"path": "src/a.py", "content": "x = 1\n"}),
        ("edit_file", {"path": "src/b.py", "search": "a\n", "replace": "b\n"}),
        ("bash", {"command": "pytest -q"}),
        ("read_file", {"path": "x"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no action",
        "```python\nprint()\n```",
        "```\n```",
        "```sh\nrm -rf /\n```",
        "`````markdown\n```bash\nls\n```\n`````",
        "inline ```bash``` only",
        "the word write alone",
        "<think>\n```bash\nls\n```\n</think>\nDone.",
        "```python\nnever closed",
    ],
)
def test_what_is_only_shown_is_not_done(text: str) -> None:
    assert acts(text) == []


def test_a_fence_is_closed_only_by_one_as_long_of_the_same_kind() -> None:
    inner = "# Use\n```bash\nls\n```\n~~~\n"
    assert acts(f"````write README.md\n{inner}````") == [
        ("write_file", {"path": "README.md", "content": inner})
    ]
    assert acts("```write a\n~~~\n```") == [("write_file", {"path": "a", "content": "~~~\n"})]
    assert acts("```write a\nx\n`````") == [("write_file", {"path": "a", "content": "x\n"})]


def test_several_parts_of_an_edit_are_several_calls() -> None:
    part = "<<<<<<< SEARCH\n{}\n=======\n{}\n>>>>>>> REPLACE\n"
    text = "```edit a\n" + part.format("1", "2") + "\n" + part.format("3", "") + "```"
    assert [args for _, args in acts(text)] == [
        {"path": "a", "search": "1\n", "replace": "2\n"},
        {"path": "a", "search": "3\n", "replace": "\n"},
    ]


def test_lines_end_as_the_file_needs_them() -> None:
    assert acts("```write a\r\nx\r\ny\r\n```\r\n") == [("write_file", {"path": "a", "content": "x\ny\n"})]
    assert acts("```write pkg/__init__.py\n```") == [
        ("write_file", {"path": "pkg/__init__.py", "content": ""})
    ]
    assert acts("```write a\nx\x0cy\u2028z\n```") == [
        ("write_file", {"path": "a", "content": "x\x0cy\u2028z\n"})
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```write\nx\n```", "names no file"),
        ("```edit\nx\n```", "names no file"),
        ("```write a\nx", "never closed"),
        ("```bash\nls", "never closed"),
        ("```bash\n\n```", "empty"),
        ("```bash -x\nls\n```", "takes nothing"),
        ("```call\n{}\n```", "names no tool"),
        ("```call read_file\n{path: x}\n```", "no JSON"),
        ("```call read_file\n[1]\n```", "one JSON object"),
        ("```edit a\nx\n```", "outside"),
        ("```edit a\n```", "has no"),
        ("```edit a\n<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n```", "======="),
        ("```edit a\n<<<<<<< SEARCH\na\n=======\nb\n```", "REPLACE"),
        ("```edit a\n<<<<<<< SEARCH\n=======\nb\n>>>>>>> REPLACE\n```", "empty SEARCH"),
        ("    ```bash\n    ls\n    ```", "indented"),
        ("<think>\n```bash\nls\n```", "never closed"),
    ],
)
def test_a_malformed_block_is_told_and_not_done(text: str, expected: str) -> None:
    assert expected in trouble(text)


def test_a_nested_fence_of_the_same_length_stops_the_reading() -> None:
    text = "```write README.md\n# Use\n```bash\nls\n```\nand\n```bash\nrm -rf src\n```\n```\n"
    assert "as long as its own" in trouble(text)


def test_an_example_of_an_action_inside_a_shown_fence_is_never_done() -> None:
    text = "```markdown\n```bash\nls\n```\nand then\n```bash\nrm -rf src\n```\n```\n"
    assert "ordinary fence" in trouble(text)


def test_a_good_block_before_a_malformed_one_is_done() -> None:
    parsed = parse_actions("```write a\nx\n```\n```write\ny\n```\n```bash\nls\n```")
    assert [call["name"] for call in parsed.calls] == ["write_file", "bash"]
    assert [problem.line for problem in parsed.problems] == [4]


def test_ids_are_the_same_for_the_same_reply_and_differ_by_turn_and_place() -> None:
    text = "```bash\nls\n```\n```bash\nls\n```"
    first, again, later = (parse_actions(text, salt=salt).calls for salt in ("w/1", "w/1", "w/2"))
    assert first == again
    assert len({call["id"] for call in [*first, *later]}) == 4


def test_a_reply_has_a_bounded_number_of_actions() -> None:
    parsed = parse_actions("```bash\nls\n```\n" * 10_000)
    assert len(parsed.calls) == 50
    assert "at most 50" in str(parsed.problems[0])


def test_verbs_that_are_not_asked_for_are_ordinary() -> None:
    assert parse_actions("```bash\nls\n```", verbs=("write",)) == ([], [])


@given(st.text(alphabet="`~ab \n", max_size=60))
def test_nothing_inside_can_close_a_fence_made_here(content: str) -> None:
    body = content if not content or content.endswith("\n") else content + "\n"
    assert acts(fenced(content, "write a")) == [("write_file", {"path": "a", "content": body})]


@given(st.text(max_size=200))
def test_no_reply_makes_the_parser_fail(text: str) -> None:
    parse_actions("```" + text)


def test_calls_written_as_blocks_are_read_back_as_the_same_calls() -> None:
    text = (
        "````write a.md\n```bash\nls\n```\n````\n```edit b\n<<<<<<< SEARCH\nx\n=======\ny\n"
        ">>>>>>> REPLACE\n```\n"
        '```bash\nls\n```\n```call search\n{"query": "`x`"}\n```'
    )
    calls = parse_actions(text).calls
    assert parse_actions(as_blocks(calls)).calls == calls
