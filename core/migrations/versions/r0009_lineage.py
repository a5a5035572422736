"""What was taken back: memories whose work was undone, and what was made of them."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the SQL file of the same name, as it is: no placeholder in it means anything to a driver."""
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None
    connection.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))  # pyright: ignore[reportAttributeAccessIssue]
