"""What can go wrong where the work happens."""

from core.errors import BadInput, FactoryError, NotFound


class WorkspaceError(FactoryError):
    """The workspace refused, or could not do, what was asked."""


class ProjectNameInvalid(WorkspaceError, BadInput):
    """A project's name is 1 to 63 of a-z, 0-9 and "-", and begins and ends with a letter or digit."""


class SourceInvalid(WorkspaceError, BadInput):
    """The source is no git repository with at least one commit."""


class GitFailed(WorkspaceError):
    """A git command failed."""


class DiskFull(GitFailed):
    """The disk has no room for what git writes."""


class TreeTooBig(WorkspaceError):
    """The worktree holds more files or more bytes than a stage may."""


class PathRefused(WorkspaceError):
    """A path is not one that the factory reads, writes or records."""


class FileMissing(WorkspaceError):
    """There is no such file in the worktree."""


class FileTooBig(WorkspaceError):
    """The file is bigger than may be read or written at once."""


class NotText(WorkspaceError):
    """The file is not UTF-8 text."""


class EditFailed(WorkspaceError):
    """The text to replace is not in the file exactly once."""


class MainMoved(WorkspaceError):
    """Main has something that the run's branch has not: it is merged into the branch first."""


class BranchMoved(WorkspaceError):
    """The run's branch is no longer where it was."""


class TagTaken(WorkspaceError):
    """The release's tag already names something else."""


class OriginalReadOnly(WorkspaceError):
    """An original is read only."""


class SandboxUnknown(WorkspaceError, NotFound):
    """There is no sandbox, or no project, of that name."""


class SnapshotUnknown(WorkspaceError, NotFound):
    """The sandbox has no such snapshot."""


class SandboxBusy(WorkspaceError):
    """Another server works in that sandbox."""


class TooManySandboxes(WorkspaceError):
    """The project has as many sandboxes as it may have."""


class NoRoomForMail(WorkspaceError):
    """Something of the product's stands where the factory keeps its mail."""


class StaleRead(WorkspaceError):
    """The file is no longer what was read."""


class PatchRefused(WorkspaceError):
    """The patch does not apply, or would do what a patch may not."""


class SandboxUnavailable(WorkspaceError):
    """No working sandbox, so that code is not run."""


class PushFailed(WorkspaceError):
    """The remote could not be pushed to."""


class SyncFailed(WorkspaceError):
    """The remote could not be fetched from."""


class RemoteDiverged(WorkspaceError):
    """Main here and the remote's branch have gone apart."""


class BranchTaken(WorkspaceError):
    """The remote's branch holds somebody else's commits."""
