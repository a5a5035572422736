"""Licences, as distributions name them."""

import pytest
from packaging.licenses import canonicalize_license_expression

from workspace import licences
from workspace.licences import of_metadata, permits


def metadata(*lines: str) -> str:
    return "\n".join(["Metadata-Version: 2.4", "Name: tiny", "Version: 1", *lines, "", "License: GPL", ""])


@pytest.mark.parametrize(
    ("lines", "expression", "source"),
    [
        (["License-Expression: mit or apache-2.0"], "MIT OR Apache-2.0", "License-Expression"),
        (["License-Expression: MIT", "License: GPL-3.0-only"], "MIT", "License-Expression"),
        (["License-Expression: whatever", "License: MIT"], "", "License-Expression"),
        (["License: MIT"], "MIT", "License"),
        (["License: The MIT License"], "MIT", "License"),
        (["License: Apache License, Version 2.0"], "Apache-2.0", "License"),
        (["License: BSD"], "LicenseRef-BSD", "License"),
        (
            ["License: see the file", "Classifier: License :: OSI Approved :: MIT License"],
            "MIT",
            "Classifier",
        ),
        (
            [
                "Classifier: License :: OSI Approved",
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)",
            ],
            "MIT AND MPL-2.0",
            "Classifier",
        ),
        (["Classifier: License :: Free For Home Use"], "", "Classifier"),
        (["License: " + "Permission is hereby granted " * 50], "", "License"),
        ([], "", ""),
    ],
)
def test_a_licence_is_read_from_the_field_that_counts(lines: list[str], expression: str, source: str) -> None:
    found = of_metadata(metadata(*lines))
    assert (found.expression, found.source) == (expression, source)


def test_text_that_is_no_metadata_is_an_unknown_licence() -> None:
    for text in ("", "\0\xff\n:::", "License-Expression:\n (((" * 10, "License-Expression: " + "(" * 5000):
        assert not of_metadata(text).known


@pytest.mark.parametrize(
    ("expression", "allowed", "met"),
    [
        ("MIT", ["mit"], True),
        ("GPL-3.0-only", ["MIT"], False),
        ("MIT OR GPL-3.0-only", ["MIT"], True),
        ("MIT AND GPL-3.0-only", ["MIT"], False),
        ("MIT AND (GPL-3.0-only OR BSD-3-Clause)", ["MIT", "BSD-3-Clause"], True),
        ("(MIT OR ISC) AND GPL-3.0-only", ["MIT"], False),
        ("GPL-2.0-only OR MIT AND ISC", ["MIT"], False),
        ("Apache-2.0 WITH LLVM-exception", ["Apache-2.0"], True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["GPL-2.0-only WITH Classpath-exception-2.0"], True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ["MIT"], False),
        ("LicenseRef-BSD", ["LicenseRef-BSD"], True),
        ("", ["MIT"], False),
        ("MIT OR", ["MIT"], False),
    ],
)
def test_an_expression_is_met_by_what_is_allowed(expression: str, allowed: list[str], met: bool) -> None:
    assert permits(expression, allowed) is met


def test_every_name_and_classifier_stands_for_an_expression() -> None:
    tables = (licences._NAMES, licences._CLASSIFIERS)  # pyright: ignore[reportPrivateUsage]
    for expression in (each for table in tables for each in table.values()):
        assert canonicalize_license_expression(expression) == expression
