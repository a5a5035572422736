"""The chat: how most people meet the factory. Chainlit's page over our runs and questions."""
