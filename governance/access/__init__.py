"""Who may come in: users, API tokens, sign-ins; `Accounts.verify` says whose a token is."""

from governance.access.accounts import Accounts
from governance.access.errors import NotSignedIn
from governance.access.principal import Principal, Scopes

__all__ = ["Accounts", "NotSignedIn", "Principal", "Scopes"]
