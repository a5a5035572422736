"""How each provider is spoken to: through LangChain's own package for it, imported when first needed."""

from models.providers.clients import Addressee, Clients
from models.providers.langchain import LangChainEndpoint

__all__ = ["Addressee", "Clients", "LangChainEndpoint"]
