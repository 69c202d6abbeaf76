"""Neural-architecture search by design rules, under exact FLOP budgets."""
