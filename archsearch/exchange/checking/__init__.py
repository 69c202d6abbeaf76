"""What was written is what was trained: loaded by another process, its answers compared."""
