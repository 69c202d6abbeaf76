"""What a network is: ops, the frozen Graph, the tracer that records one, and its JSON. Standard library only."""
