"""What stands in the worktree is read before it is written anew: the tools refuse anything else."""

import json
import re
from collections.abc import Callable

from models.offline.reading import Conversation, Observation
from models.offline.rendering import fence

SAY = "I read what I am about to write anew."
MOST = 40  # files read in one turn

_REFUSED = re.compile(r"error: (\S+) (?:exists, and you have not read it|has changed since you read it)")


def after_reading(conversation: Conversation, decide: Callable[[Conversation], str]) -> str:
    """The reply that `decide` gives, or, where it would replace files unread, the calls that read them first.

    `decide` never sees the turns that only read, nor a turn that was refused for want of them: its reply is
    the same after them.
    """
    reply = decide(_without_reading(conversation))
    wanted = re.findall(r"^`{3,}write (\S+)", reply, re.M)
    unread = [path for path in dict.fromkeys(wanted) if _unread(conversation, path)][:MOST]
    if not unread:
        return reply
    calls = (fence(json.dumps({"path": path}, ensure_ascii=False), "call read_file") for path in unread)
    return "\n\n".join([SAY, *calls])


def refused(observation: Observation) -> bool:
    """Whether a write was refused only because the file had to be read first."""
    return _REFUSED.match(observation.output.lstrip()) is not None


def _without_reading(conversation: Conversation) -> Conversation:
    turns = len(conversation.own)
    while turns and (conversation.own[turns - 1].startswith(SAY) or _refusals(conversation, turns)):
        turns -= 1
    heard = tuple((turn, page) for turn, page in conversation.heard if turn <= turns)
    return Conversation(conversation.brief, conversation.own[:turns], heard)


def _refusals(conversation: Conversation, turn: int) -> set[str]:
    """The paths that the own turn before `turn` was refused to replace."""
    observed = Conversation(conversation.brief, (), tuple(h for h in conversation.heard if h[0] == turn))
    found = (_REFUSED.match(one.output.lstrip()) for one in observed.observations())
    return {match[1] for match in found if match}


def _unread(conversation: Conversation, path: str) -> bool:
    turns = range(1, len(conversation.own) + 1)
    refusal = max((turn for turn in turns if path in _refusals(conversation, turn)), default=0)
    if not refusal and path not in conversation.worktree:
        return False
    quoted = re.escape(json.dumps(path, ensure_ascii=False))
    known = rf"^`{{3,}}call read_file\n.*\"path\": {quoted}"
    if not refusal:
        known += rf"|^`{{3,}}write {re.escape(path)}$"
    return not any(re.search(known, text, re.M) for text in conversation.own[refusal:])
