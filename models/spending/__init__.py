"""What may be spent on models: budgets, the guard that keeps to them, and what was spent."""
