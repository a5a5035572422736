"""What the commits of a repository hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from workspace import posting
from workspace.artifacts import Artifacts
from workspace.git import Git
from workspace.refs import revision

_LARGEST_READ = 5_000_000


class Commits:
    """Reads the commits of one repository; changes nothing."""

    def __init__(self, git: Git) -> None:
        self._git = git

    @property
    def artifacts(self) -> Artifacts:
        """The files of its commits."""
        return Artifacts(self._git)

    async def tree(self, commit: str) -> str:
        """The id of the tree that `commit` records: equal trees have equal ids."""
        return (await self._git.resolve(f"{revision(commit)}^{{tree}}"))[0]

    async def holds(self, commit: str, other: str) -> bool:
        """Whether `other` is `commit` or came before it. False where there is no such commit here."""
        if await self._git.find(f"{revision(other)}^{{commit}}") is None:
            return False
        ancestry = ("merge-base", "--is-ancestor", revision(other), revision(commit))
        return (await self._git(*ancestry, ok=(0, 1))).code == 0

    async def same_product(self, a: str, b: str) -> bool:
        """Whether two commits hold the same, apart from the factory's own files such as mail."""
        return a == b or await self.product(a) == await self.product(b)

    async def product(self, commit: str) -> str:
        """Names what `commit` holds apart from the factory's own files: equal products have equal names."""
        listed = (await self._git("ls-tree", "-z", revision(commit))).names
        kept = [line for line in listed if line.partition("\t")[2] != ".factory"]
        return hashlib.sha256("\0".join(kept).encode("utf-8", "surrogateescape")).hexdigest()

    async def files(self, commit: str) -> list[str]:
        """Every path that `commit` has."""
        return (await self._git("ls-tree", "-r", "-z", "--name-only", revision(commit))).names

    async def changed(self, a: str, b: str) -> list[str]:
        """The paths that differ between two commits, gone ones too, in order."""
        return (await self._git("diff-tree", "-r", "-z", "--name-only", revision(a), revision(b))).names

    async def sizes(self, commit: str) -> dict[str, int]:
        """Every path that `commit` has, with its size in bytes (0 for what is no file)."""
        listed = (await self._git("ls-tree", "-r", "-z", "-l", revision(commit))).names
        rows = (line.partition("\t") for line in listed)
        return {path: int(size) if (size := head.split()[3]).isdigit() else 0 for head, _, path in rows}

    async def read(self, commit: str, path: str) -> str | None:
        """The text of a file in `commit`; None where there is none, or where it is over 5 MB."""
        listed = await self._git("ls-tree", "-z", "-l", "--", revision(commit), path)
        head, _, name = listed.text.rstrip("\0").partition("\t")
        fields = head.split()
        if name != path or fields[1] != "blob" or int(fields[3]) > _LARGEST_READ:
            return None
        return (await self._git("cat-file", "blob", fields[2])).out.decode("utf-8", "replace")

    async def speaking_of(self, commit: str, words: Sequence[str]) -> list[str]:
        """The text files of `commit` in which one of the words stands by itself, in any case of letters."""
        patterns = [part for word in words for part in ("-e", word)]
        looked = await self._git(
            *("grep", "-I", "-l", "-z", "-i", "-w", "-F", "--no-recurse-submodules"),
            *(*patterns, revision(commit)),
            ok=(0, 1),
        )
        return [name.partition(":")[2] for name in looked.names]

    async def diff(self, a: str, b: str, *, stat: bool = False) -> str:
        """The difference from `a` to `b` as a patch, or as a table of files; without the factory's own."""
        form = "--stat=100" if stat else "--patch"
        plain = ("-r", "--no-color", "--no-ext-diff", "--no-textconv")
        answer = await self._git(
            *("diff-tree", form, *plain, revision(a), revision(b), "--", ":(top,exclude).factory"),
            environment={"GIT_LITERAL_PATHSPECS": "0"},
        )
        return answer.out.decode("utf-8", "replace")

    async def texts(self, commit: str, folder: str) -> dict[str, str]:
        """The text files below a folder in `commit`, by path; those over 100 kB are left out."""
        return await posting.texts(self._git, revision(commit), folder)
