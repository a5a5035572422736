"""Above the graph: how programs reach the factory."""
