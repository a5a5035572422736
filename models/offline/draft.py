"""What sentences say: entities, fields as words, verbs. Patterns only; what they miss is left out."""

import re
from dataclasses import dataclass, field

from models.offline.naming import kind, latin, singular, snake, verb_kinds, vocabulary
from models.offline.prose import sentences


@dataclass
class Draft:
    """Entities as they are found; fields as words until all entities are known."""

    fields: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    verbs: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    current: str = ""
    links: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def add(self, name: str) -> None:
        self.fields.setdefault(name, [])
        self.current = name

    def field(self, entity: str, words: str) -> None:
        known = self.fields[entity]
        if words and words not in known:
            known.append(words)


_HAS = re.compile(
    r"([a-z]+)(?: (?:should|must|can|will|may))?(?: also)? "
    r"(?:has|have|having|with|contains?|includes?|including|consists? of|needs?|stores?|records?|holds?"
    r"|says?|states?) (.+)"
)
_LIST_ENDS = re.compile(r" (?:that|which|who|when|so|for|in order|if|to|by|on|from|can|are|is)\b.*")


def read(draft: Draft, sentence: str) -> None:
    """Everything one sentence says."""
    words = re.findall(r"[a-z][a-z0-9_']*|,", sentence)[:400]
    _containers(draft, words)
    _relations(draft, [word for word in words if word not in {"can", "may", "could", "will", "to"}])
    _objects(draft, words)
    _passives(draft, words)
    _fields(draft, sentence)
    _details(draft, sentence)


def _noun(word: str, *, clear: bool) -> str:
    """The entity a word names, or nothing. `clear`: its place in the sentence says that it is one."""
    words = vocabulary()
    name = singular(snake(word))
    if len(name) < 3 or len(name) > 30 or name in words["stopwords"] or word in words["stopwords"]:
        return ""
    if name in words["containers"] and not (name == "book" or (clear and word != name)):
        return ""
    spared = clear and not {name, word}.isdisjoint(words["kept_when_clear"])
    if not spared and not {name, word}.isdisjoint(words["not_kept"]):
        return ""
    if (
        kind(name) != "text"
        or name.endswith("ing")
        or (name in {"name", "title", "tag", "status", "note"} and not clear)
    ):
        return ""
    return name


def _phrase(words: list[str], start: int) -> tuple[list[str], int]:
    """The noun phrase from `start`: its words (determiners dropped) and where it ends."""
    vocab = vocabulary()
    skip = {
        "a",
        "an",
        "the",
        "my",
        "our",
        "their",
        "all",
        "new",
        "of",
        "his",
        "her",
        "your",
        "every",
        "each",
        "its",
    }
    skip |= {"many", "several", "any", "different", "single", "small", "simple", "down", "up", "track"}
    at = start
    while at < len(words) and words[at] in skip:
        at += 1
    first = at
    while at < len(words) and at - first < 3 and words[at] not in vocab["stopwords"] and words[at] != ",":
        at += 1
    return words[first:at], at


def _objects(draft: Draft, words: list[str]) -> None:
    """`manage customers, orders and invoices`: the objects of the verbs we know."""
    verbs = verb_kinds()
    for index, word in enumerate(words):
        if word not in verbs or (index and words[index - 1] in {"a", "an", "the", "todo"}):
            continue
        at = index + 1
        while at < len(words):
            if words[at] in verbs and words[at] not in {"track", "list", "order", "log"}:
                break
            phrase, end = _phrase(words, at)
            if not phrase:
                break
            if name := _head(phrase, words[end : end + 1] == ["of"]):
                draft.add(name)
                draft.verbs.append((verbs[word], word, name))
            if end < len(words) and words[end] in {",", "and", "or", "of"} and len(phrase) < 3:
                at = end + 1
                while at < len(words) and words[at] in {"and", "or", ","}:
                    at += 1
                continue
            break


def _head(phrase: list[str], of: bool = False) -> str:
    """The entity a noun phrase is about: its last plural, else its last word."""
    for word in reversed(phrase):
        if singular(word) != word and (name := _noun(word, clear=True)):
            return name
    return (
        "" if of else next((name for word in reversed(phrase[-1:]) if (name := _noun(word, clear=True))), "")
    )


def _containers(draft: Draft, words: list[str]) -> None:
    """`plant tracker`, `todo list`, `an inventory of parts`, `an app for recipes`."""
    holders: list[str] = vocabulary()["containers"]
    verbs = verb_kinds()
    for index, word in enumerate(words):
        if word not in holders:
            continue
        before = words[index - 1] if index else ""
        if (
            before
            and before not in verbs
            and (name := _noun(before, clear=False))
            and not before.endswith("ing")
        ):
            draft.add(name)
        elif words[index + 1 : index + 2] and words[index + 1] in {"of", "for", "about", "with"}:
            phrase, _ = _phrase(words, index + 2)
            if phrase and singular(phrase[-1]) != phrase[-1] and (name := _noun(phrase[-1], clear=True)):
                draft.add(name)


def _relations(draft: Draft, words: list[str]) -> None:
    """`members borrow books` keeps members, books and loans."""
    relations: dict[str, list[str]] = vocabulary()["relations"]
    for index in range(1, len(words) - 1):
        verb = words[index] if words[index] in relations else words[index].removesuffix("s")
        if verb not in relations or singular(words[index - 1]) == words[index - 1]:
            continue
        subject = _noun(words[index - 1], clear=True)
        phrase, _ = _phrase(words, index + 1 + (words[index + 1] in {"in", "for", "at"}))
        thing = _head(phrase) if phrase else ""
        if not subject or not thing or subject == thing:
            continue
        name, *extra = relations[verb]
        draft.add(subject)
        draft.add(thing)
        draft.add(name)
        draft.links[name] = (subject, thing)
        draft.verbs.append(("create", verb, name))
        for words_of_field in extra:
            draft.field(name, words_of_field)


def _passives(draft: Draft, words: list[str]) -> None:
    """`overdue loans are listed`."""
    for index, word in enumerate(words[:-1]):
        if word in {"are", "get"} and words[index + 1].endswith("ed") and index:
            noun = words[index - 1]
            if singular(noun) != noun and (name := _noun(noun, clear=True)):
                draft.add(name)
                verb = words[index + 1]
                known = verb_kinds()
                stem = next((v for v in (verb[:-2], verb[:-1], verb[:-3]) if v in known), "")
                if stem:
                    draft.verbs.append((known[stem], stem, name))


def _fields(draft: Draft, sentence: str) -> None:
    """`a book has a title, an author and a year`; `todo list with tags and due dates`."""
    found = _HAS.search(sentence)
    if not found:
        return
    subject, listed = found[1], found[2]
    if found[0].split()[1].startswith(("say", "state")):  # "a loan says which member has which item"
        listed = re.sub(r"\b(?:which|what|who|when)\b", "", listed.replace(" has ", ", "))
    listed = _LIST_ENDS.sub("", listed)
    if (subject in vocabulary()["containers"] and subject != "book") or subject.endswith("ing"):
        owner = draft.current if draft.current else ""
    else:
        owner = _noun(subject, clear=True)
    items = [words for part in re.split(r",| and | or | & | plus ", listed) if (words := _field_words(part))]
    if subject in vocabulary()["stopwords"] or not owner:
        for part in items:
            thing = part.split("_of_")[0].split("_")[-1]
            if singular(thing) != thing and (name := _noun(thing, clear=True)):
                draft.add(name)
        return
    draft.add(owner)
    for words in items:
        if words != owner and singular(words) != owner:
            draft.field(owner, words)


def _field_words(part: str) -> str:
    """`an optional date of birth` → `date_of_birth`; nothing when it is no field."""
    part = re.sub(
        r"\b(?:a|an|the|its|their|his|her|optional|unique|own|new|short|free|some|also|many|one|list of)\b",
        " ",
        part,
    )
    words = re.findall(r"[a-z][a-z0-9_]*", part)
    if words[:2] == ["number", "of"] and len(words) > 2:
        words = [singular(words[2]), "count"]
    stop = set(vocabulary()["stopwords"]) - {"of", "on", "at", "is", "due"}
    words = [word for word in words if word not in stop]
    if not words or len(words) > 4 or (words[0] in verb_kinds() and len(words) > 1):
        return ""
    if kind(singular(words[-1])) != "text":
        words[-1] = (
            singular(words[-1]) if words[-1] not in {"pages", "minutes", "hours", "points"} else words[-1]
        )
    return snake("_".join(words), 30)


def _details(draft: Draft, sentence: str) -> None:
    """Fields that are told in passing: `when I last watered them`, `mark them as done`."""
    if not draft.current:
        return
    if found := re.search(
        r"\bwhen (?:i|we|they|it|someone) (?:was |were )?(last )?([a-z]{3,}ed)\b", sentence
    ):
        draft.field(draft.current, f"{'last_' if found[1] else ''}{found[2]}_on")
    if found := re.search(r"\bmark(?:ed)? (?:[a-z]+ ){0,4}as ([a-z]+)", sentence):
        draft.field(draft.current, found[1])


def plurals(draft: Draft, text: str) -> None:
    """The last resort before `item`: up to two plurals of the text."""
    plain = latin(text)
    # After these stands what somebody does, and with what: "a service that lends tools" is about tools.
    done = [(word, True) for word in re.findall(r"\b(?:that|which|who) +[a-z]+ +([a-z]{4,})", plain)]
    rest = [
        (word, False) for word in re.findall(r"[a-z]{4,}", re.sub(r"\b(that|which|who) +[a-z]+", " ", plain))
    ]
    for word, clear in [*done, *rest][:400]:
        if len(draft.fields) < 2 and singular(word) != word and (name := _noun(word, clear=clear)):
            draft.add(name)


_ADD_FIELD = re.compile(
    r"\badd (?:also )?(?:a |an |the |one |new |optional |another )*"
    r"(?:fields? |columns? |propert(?:y|ies) |attributes? )?(?:called |named |for )?"
    r"(.+?)(?: fields?| columns?)? (?:to|for|on) (?:the |each |every |all |a |an |our )*([a-z]+)"
)


def apply(draft: Draft, comment: str) -> None:
    """Let a comment add fields and entities; what it says beyond that is for people to read."""
    for sentence in sentences(re.sub(r"[`\"]", "", comment)):
        added = _ADD_FIELD.search(sentence)
        target = singular(snake(added[2])) if added else ""
        if added and target in draft.fields:
            for part in re.split(r",| and ", added[1]):
                draft.field(target, _field_words(re.sub(r"\b(?:field|column)s?\b", "", part)))
            sentence = sentence[added.end() :]
        found = _HAS.search(sentence)
        if found and singular(snake(found[1])) in draft.fields:
            _fields(draft, sentence)
            continue
        keeps: list[str] = vocabulary()["verbs"]["keep"]
        words = re.findall(r"[a-z][a-z0-9_']*|,", sentence)
        if any(word in keeps for word in words):
            _objects(draft, words)
