"""How a network is trained: the parts of a recipe, and recipes by name; plain values, no framework."""
