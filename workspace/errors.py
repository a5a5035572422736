"""What can go wrong where the work happens."""

from core.errors import BadInput, FactoryError, NotFound


class WorkspaceError(FactoryError):
    """The workspace refused, or could not do, what was asked."""


class ProjectNameInvalid(WorkspaceError, BadInput):
    """A project's name is 1 to 63 of a-z, 0-9 and "-", and begins and ends with a letter or digit."""


class SourceInvalid(WorkspaceError, BadInput):
    """The source is no git repository with at least one commit."""


class NameRefused(WorkspaceError, BadInput):
    """That can name nothing in a repository."""


class GitFailed(WorkspaceError):
    """A git command failed."""


class DiskFull(GitFailed):
    """The disk has no room for what git writes."""

    http_status = 507


class TreeTooBig(WorkspaceError):
    """The worktree holds more files or more bytes than a stage may."""

    http_status = 422


class PathRefused(WorkspaceError):
    """A path is not one that the factory reads, writes or records."""

    http_status = 422


class FileMissing(WorkspaceError):
    """There is no such file in the worktree."""

    http_status = 404


class FileTooBig(WorkspaceError):
    """The file is bigger than may be read or written at once."""

    http_status = 422


class NotText(WorkspaceError):
    """The file is not UTF-8 text."""

    http_status = 422


class EditFailed(WorkspaceError):
    """The text to replace is not in the file exactly once."""

    http_status = 422


class MainMoved(WorkspaceError):
    """Main has something that the run's branch has not: it is merged into the branch first."""

    http_status = 409


class BranchMoved(WorkspaceError):
    """The run's branch is no longer where it was."""

    http_status = 409


class TagTaken(WorkspaceError):
    """The release's tag already names something else."""

    http_status = 409


class OriginalReadOnly(WorkspaceError):
    """An original is read only."""

    http_status = 409


class SandboxUnknown(WorkspaceError, NotFound):
    """There is no sandbox, or no project, of that name."""


class SnapshotUnknown(WorkspaceError, NotFound):
    """The sandbox has no such snapshot."""


class SandboxBusy(WorkspaceError):
    """Another server works in that sandbox."""

    http_status = 409


class TooManySandboxes(WorkspaceError):
    """The project has as many sandboxes as it may have."""

    http_status = 409


class NoRoomForMail(WorkspaceError):
    """Something of the product's stands where the factory keeps its mail."""

    http_status = 409


class StaleRead(WorkspaceError):
    """The file is no longer what was read."""

    http_status = 409


class PatchRefused(WorkspaceError):
    """The patch does not apply, or would do what a patch may not."""

    http_status = 422


class SandboxUnavailable(WorkspaceError):
    """No working sandbox, so that code is not run."""

    http_status = 503


class PushFailed(WorkspaceError):
    """The remote could not be pushed to."""

    http_status = 502


class SyncFailed(WorkspaceError):
    """The remote could not be fetched from."""

    http_status = 502


class RemoteDiverged(WorkspaceError):
    """Main here and the remote's branch have gone apart."""

    http_status = 409


class BranchTaken(WorkspaceError):
    """The remote's branch holds somebody else's commits."""

    http_status = 409
