"""What one can talk with: the factory, a team, a group of them, or what is recorded of a project."""
