"""What a network is: ops, the frozen Graph, the tracer that records one, its JSON (standard library only)."""
