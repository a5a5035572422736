"""Which runs may be taken back yet, for those who must not know how runs are kept."""

from pathlib import Path

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Run the SQL file of the same name, as it is: no placeholder in it means anything to a driver."""
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))  # pyright: ignore[reportAttributeAccessIssue]
