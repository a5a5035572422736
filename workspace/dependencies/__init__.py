"""What a product needs of others: read from its files, fetched, looked at, and installed for its own tests.

Nothing here decides whether a package may be used: `governance/dependencies.py` does.
"""
