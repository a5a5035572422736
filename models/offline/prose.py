"""A requirement's text made plain: its title, and its clauses in lower-case ASCII."""

import re

from models.offline.naming import latin, verb_kinds

READ = 6_000  # characters of a requirement that are read for its nouns: what comes later is detail


def plain(text: str) -> str:
    """The prose of a text: no front matter, code, links or markup."""
    text = text[: READ * 4].replace("\r", "").replace("\u2019", "'")
    text = re.sub(r"(\S{60})\S+", r"\1", text)
    text = re.sub(r"^---\n(?:[^\n]*\n){0,20}?---$", "", text, flags=re.M)
    text = re.sub(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[^\n]*$", "", text, flags=re.S | re.M)
    text = re.sub(r"\w+://\S+|<[^>\n]{1,80}>", " ", text)
    return re.sub(r"[*`]|\b_|_\b|(?<=\be)-(?=mail)", "", text)[:READ]


def title(text: str) -> str:
    """The first words that mean something, without "please build me a": at most 40 characters."""
    for line in text.splitlines():
        words = re.findall(
            r"[^\W_]+", re.split(r"[:.;!?\n]|\s[-\u2013\u2014]\s", line.strip(" #>*-\"'"))[0].replace("'", "")
        )
        words = (
            words[3:] if len(words) > 3 and words[0].lower() == "as" and words[1] in {"a", "an"} else words
        )
        lead = {
            "please",
            "build",
            "create",
            "make",
            "write",
            "develop",
            "i",
            "we",
            "want",
            "need",
            "would",
            "like",
        }
        lead |= {
            "me",
            "us",
            "to",
            "a",
            "an",
            "the",
            "my",
            "our",
            "ein",
            "eine",
            "un",
            "une",
            "track",
            "manage",
            "have",
        }
        lead |= {"keep", "of", "small", "simple", "store", "record"}
        while len(words) > 1 and words[0].lower() in lead:
            words.pop(0)
        title = ""
        for word in words:
            if len(title) + 1 + len(word) > 40 or (len(title) > 12 and word.lower() in _CUTS):
                break
            title = f"{title} {word}".strip()
        title = title or "".join(words)[:40]
        if title:
            return title[0].upper() + title[1:]
    return "Items"


_CUTS = {"that", "which", "where", "with", "and", "so", "for", "when", "who", "in", "mit"}


def sentences(text: str) -> list[str]:
    """Clauses in lower-case ASCII, a `Name: a, b, c` line kept whole as `name has a, b, c`."""
    found: list[str] = []
    for line in _unwrapped(text):
        line = latin(line).strip(" \t#>-+\"'")
        listed = re.fullmatch(r"(?:\d+[.)] )?([a-z]+)\s*(?:\(|:)\s*([\w ,/]+?)\)?\.?", line)
        if listed and _is_field_list(listed[2]):
            found.append(f"{listed[1]} has {listed[2]}")
            continue
        line = re.sub(r"\b([a-z]+) ?\(([\w ,]+)\)", r"; \1 has \2;", line)
        found += [part.strip() for part in re.split(r"[.;:!?]|\s-+\s", line) if part.strip()]
    return found


def _unwrapped(text: str) -> list[str]:
    """The lines of a text, those that an editor broke in the middle of a clause made whole."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and _goes_on(lines[-1], line.strip()):
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return lines


def _goes_on(before: str, line: str) -> bool:
    ended = not before.strip() or before.lstrip().startswith("#") or before.rstrip()[-1] in ".;:!?"
    begins = not line[:1].islower() or re.match(r"\w+\s*[:(]", line)
    if ended or begins:
        return False
    return len(before) >= _WRAPPED or bool(_OPEN.search(before))


_WRAPPED = 60  # characters of a line that was probably broken because it was full
_OPEN = re.compile(r"(?:,|\b(?:a|an|and|by|for|has|have|in|is|of|or|the|to|with))\s*$", re.I)


def _is_field_list(text: str) -> bool:
    verbs = verb_kinds()
    items = [item.split() for item in re.split(r",| and ", text) if item.strip()]
    return len(items) > 1 and all(len(item) <= 4 and item[0] not in verbs for item in items)
