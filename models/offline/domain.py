"""What a requirement is about: a title, a package name, one to six entities with fields, and its verbs.

Heuristics over words, no grammar and no learning: patterns such as "a book has a title and an author",
"track my plants", "members borrow books". What they do not understand ends in one entity `item`, and
`Domain.guessed` says so.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

from models.offline.draft import Draft, apply, plurals, read
from models.offline.naming import Kind, kind, package_name, plural, singular, snake, spoken, vocabulary
from models.offline.prose import plain, sentences, title

ENTITIES = 4
FIELDS = 12
RESERVED = {"id", "q", "limit", "offset"}  # the service's own names in rows and queries


@dataclass(frozen=True, slots=True)
class Field:
    """One column: `references` names the plural of the entity whose id it holds, if any."""

    name: str
    kind: Kind = "text"
    required: bool = False
    references: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """One table: `name` is the singular, `plural` the table and the URL's word."""

    name: str
    plural: str
    fields: tuple[Field, ...]

    @property
    def personal(self) -> bool:
        """Whether its rows are about people."""
        return self.name in vocabulary()["people"]["words"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A verb of the requirement and the request that serves it."""

    verb: str
    plural: str
    served_by: str


@dataclass(frozen=True, slots=True)
class Domain:
    """Everything the script needs to know of a requirement."""

    title: str
    package: str
    entities: tuple[Entity, ...]
    operations: tuple[Operation, ...]
    changes: tuple[str, ...]
    """What a review's comment changed in the entities, one sentence each."""
    guessed: bool
    """True when no entity was found in the text and `item` stands in."""


@lru_cache(maxsize=64)
def parse(requirement: str, comment: str = "") -> Domain:
    """Derive the domain from a requirement and a review's comment. Pure, and never fails."""
    text = plain(requirement)
    name = title(text)
    draft = Draft()
    for sentence in sentences(text):
        read(draft, sentence)
    if not draft.fields:
        plurals(draft, text)
    guessed = not draft.fields
    if guessed:
        draft.fields["item"] = ["name", "description"]
    told = [name for name, words in draft.fields.items() if words]
    if len(told) > 1:  # where the text describes its entities, a noun in passing is none
        used = {name for _, _, name in draft.verbs} | {one for link in draft.links.values() for one in link}
        draft.fields = {name: words for name, words in draft.fields.items() if words or name in used}
    kept = dict(list(draft.fields.items())[:ENTITIES])
    before = {name: list(fields) for name, fields in kept.items()}
    draft.fields = kept
    apply(draft, plain(comment))
    draft.fields = dict(list(draft.fields.items())[: ENTITIES + 2])
    entities, changes = _entities(draft, before)
    return Domain(
        title=name,
        package=package_name(name),
        entities=entities,
        operations=_operations(draft, entities),
        changes=changes,
        guessed=guessed,
    )


def _entities(draft: Draft, before: dict[str, list[str]]) -> tuple[tuple[Entity, ...], tuple[str, ...]]:
    entities: list[Entity] = []
    changes: list[str] = []
    for name, words in draft.fields.items():
        late = [word for word in words if name in before and word not in before[name]]
        early = [word for word in words if word not in late]
        chosen = list(draft.links.get(name, ())) + (early or _defaults(name))
        fields: list[Field] = []
        for word in [*chosen, *late]:
            made = _field(word, name, draft)
            if made and made.name not in {known.name for known in fields} and len(fields) < FIELDS:
                fields.append(made)
                if word in late:
                    changes.append(f"Field {made.name} ({made.kind}) was added to {name}.")
        fields = _require_first(_identified(name, fields), late)
        entities.append(Entity(name, plural(name), tuple(fields)))
        if name not in before:
            changes.append(f"Entity {name} was added, with {', '.join(spoken(one.name) for one in fields)}.")
    return tuple(entities), tuple(changes)


def _defaults(name: str) -> list[str]:
    vocab = vocabulary()
    key = "person" if name in vocab["people"]["words"] else name
    return vocab["defaults"].get(key, ["name", "notes"])


def _field(word: str, owner: str, draft: Draft) -> Field | None:
    """A field from its words; the name of another entity makes it a reference to that one."""
    if singular(word) in draft.fields and singular(word) != owner:
        return Field(f"{singular(word)}_id", "integer", references=plural(singular(word)))
    name = snake(word, 30)
    if name in RESERVED:
        name = f"{name}_value" if name != "id" else ""
    return Field(name, kind(name)) if name else None


def _identified(name: str, fields: list[Field]) -> list[Field]:
    """A row that a person could not tell from the next one gets a name, or what its kind is called by."""
    if fields and all(one.references for one in fields):
        return [*fields, Field("notes")]
    telling = {"name", "title", "description", "text", "subject", "label", "number", "code", "email", "isbn"}
    if any(one.name in telling or one.references for one in fields):
        return fields
    return [Field(_defaults(name)[0]), *fields][:FIELDS]


def _require_first(fields: list[Field], late: list[str]) -> list[Field]:
    """The first text that was there from the start is what a row cannot do without."""
    for index, one in enumerate(fields):
        if one.kind == "text" and one.name not in late:
            return [*fields[:index], replace(one, required=True), *fields[index + 1 :]]
    return fields


_SERVED = {
    "create": "POST /api/{plural}",
    "keep": "POST /api/{plural} and GET /api/{plural}",
    "list": "GET /api/{plural}",
    "update": "PATCH /api/{plural}/{{id}}",
    "delete": "DELETE /api/{plural}/{{id}}",
}


def _operations(draft: Draft, entities: tuple[Entity, ...]) -> tuple[Operation, ...]:
    """The verbs of the text, each with the request that serves it, once."""
    names = {entity.name: entity.plural for entity in entities}
    found: dict[tuple[str, str], Operation] = {}
    for meaning, verb, name in draft.verbs:
        if name in names:
            served = _SERVED[meaning].format(plural=names[name])
            found.setdefault((verb, name), Operation(verb, names[name], served))
    return tuple(found.values())
