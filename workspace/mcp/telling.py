"""How an MCP client is told that something went wrong: our own words and a stable code, never a trace."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from mcp.server.fastmcp.exceptions import ToolError

from core import logs
from core.errors import FactoryError
from core.redaction import redact

logger = logs.get(__name__)


def told(tool: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The tool; what it raises becomes an error result: `code: what happened. What was left. What to do.`"""

    @wraps(tool)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await tool(*args, **kwargs)
        except FactoryError as error:
            raise ToolError(redact(f"{error.code}: {error}")) from error
        except Exception as error:
            # Ours to mend: the log has it, the client need not know where things lie on this machine.
            logger.exception("tool failed", tool=getattr(tool, "__name__", "?"))
            raise ToolError("internal-error: the factory did not expect this; its log has more") from error

    return call
