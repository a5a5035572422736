"""A typed client of the service: `async with Client("http://127.0.0.1:8000", token) as client`.

It needs nothing of the service's own code, and is as new as the service that it was made from.
"""

from api.client.operations import Operations
from api.client.transport import ServerAway, ServerDiffers, ServerRefused

__all__ = ["Client", "ServerAway", "ServerDiffers", "ServerRefused"]


class Client(Operations):
    """One connection to a service; each operation is a method."""
