"""Under which licence a Python distribution comes: read from its METADATA, said as an SPDX expression.

In this order: `License-Expression` (PEP 639), a `License` that is an expression or a well-known name, the
licence classifiers. Several classifiers all hold: whoever wrote them did not say which may be chosen. What is
none of these is unknown, never guessed.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from email.parser import HeaderParser
from typing import Literal

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

Source = Literal["License-Expression", "License", "Classifier", ""]

_LONGEST = 200
"""Characters of a field that can be an expression or a name; what is longer is a licence's text."""
_TOKEN = re.compile(r"\(|\)|[^\s()]+")


@dataclass(frozen=True, slots=True)
class Licence:
    """What a distribution says about its licence."""

    expression: str
    """An SPDX expression; empty where it cannot be known. `LicenseRef-BSD` and the like are families whose
    member is not said."""
    source: Source
    """The field it was read from; empty where none told."""
    said: str
    """What stood there, in one line, for people."""

    @property
    def known(self) -> bool:
        """Whether there is an expression."""
        return bool(self.expression)


UNKNOWN = Licence("", "", "")


def of_metadata(text: str) -> Licence:
    """The licence in a distribution's METADATA (or PKG-INFO). Never raises: hostile text is unknown."""
    fields = HeaderParser().parsestr(text.partition("\n\n")[0] + "\n\n")
    if written := _line(fields.get("License-Expression")):
        # It outranks all others: when it is no expression, the others must not hide that.
        return Licence(_expression(written), "License-Expression", written)
    written = _line(fields.get("License"))
    if written and (found := _named(written)):
        return Licence(found, "License", written)
    classifiers = [str(value) for value in fields.get_all("Classifier", []) if _is_licence(str(value))]
    told = [_line(value) for value in classifiers]
    if told:
        known = [_CLASSIFIERS.get(value.rpartition(" :: ")[2], "") for value in told]
        joined = " AND ".join(sorted(set(known))) if all(known) else ""
        return Licence(joined, "Classifier", "; ".join(told)[:_LONGEST])
    return Licence("", "License", written) if written else UNKNOWN


def permits(expression: str, allowed: Collection[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed ids alone. An empty or bad one cannot.

    `A OR B` needs one of them, `A AND B` both; `A WITH E` is met by itself or by A, `A+` by itself or by A.
    """
    wanted = {each.casefold() for each in allowed}
    canonical = _expression(expression)
    if not canonical:
        return False
    value, rest = _any_of(_TOKEN.findall(canonical), wanted)
    return value and not rest


def canonical(licence: str) -> str:
    """One SPDX id or expression as SPDX writes it; empty where it is none."""
    return _expression(licence)


def _any_of(tokens: list[str], wanted: Collection[str]) -> tuple[bool, list[str]]:
    value, tokens = _all_of(tokens, wanted)
    while tokens and tokens[0] == "OR":
        other, tokens = _all_of(tokens[1:], wanted)
        value = value or other
    return value, tokens


def _all_of(tokens: list[str], wanted: Collection[str]) -> tuple[bool, list[str]]:
    value, tokens = _one(tokens, wanted)
    while tokens and tokens[0] == "AND":
        other, tokens = _one(tokens[1:], wanted)
        value = value and other
    return value, tokens


def _one(tokens: list[str], wanted: Collection[str]) -> tuple[bool, list[str]]:
    if not tokens:
        return False, tokens
    if tokens[0] == "(":
        value, rest = _any_of(tokens[1:], wanted)
        return value, rest[1:]  # its closing parenthesis: the expression is a valid one
    name, rest = tokens[0], tokens[1:]
    names = {name.casefold(), name.removesuffix("+").casefold()}
    if len(rest) > 1 and rest[0] == "WITH":
        names.add(f"{name} WITH {rest[1]}".casefold())
        rest = rest[2:]
    return not names.isdisjoint(wanted), rest


def _expression(text: str) -> str:
    try:
        return canonicalize_license_expression(text) if len(text) <= _LONGEST else ""
    except (InvalidLicenseExpression, RecursionError):
        return ""


def _named(text: str) -> str:
    if found := _expression(text):
        return found
    plain = re.sub(r"[\s,_-]+", " ", text.casefold()).removeprefix("the ").replace("licence", "license")
    return _NAMES.get(plain.removesuffix(" license").strip(), "")


def _is_licence(classifier: str) -> bool:
    # "OSI Approved" alone is the parent of those that say something.
    return classifier.startswith("License ::") and classifier != "License :: OSI Approved"


def _line(value: object) -> str:
    return " ".join(str(value).split())[: _LONGEST + 1] if value is not None else ""


# Names of licences as people write them into `License`, without "license" at the end.
_NAMES = {
    "mit": "MIT",
    "expat": "MIT",
    "isc": "ISC",
    "apache": "LicenseRef-Apache",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software": "LicenseRef-Apache",
    "apache software license 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "bsd": "LicenseRef-BSD",
    "bsd 2 clause": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "mpl 2.0": "MPL-2.0",
    "mozilla public license 2.0": "MPL-2.0",
    "psf": "PSF-2.0",
    "python software foundation": "PSF-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "unlicense": "Unlicense",
    "zlib": "Zlib",
    "lgpl": "LicenseRef-LGPL",
    "gpl": "LicenseRef-GPL",
    "gplv2": "GPL-2.0-only",
    "gplv3": "GPL-3.0-only",
    "agpl": "LicenseRef-AGPL",
}

_CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "ISC License (ISCL)": "ISC",
    "Apache Software License": "LicenseRef-Apache",
    "BSD License": "LicenseRef-BSD",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "zlib/libpng License": "Zlib",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU General Public License (GPL)": "LicenseRef-GPL",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LicenseRef-LGPL",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "Other/Proprietary License": "LicenseRef-Proprietary",
    "Public Domain": "LicenseRef-Public-Domain",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
}
