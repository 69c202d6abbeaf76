"""What is decided: pure values in, orders and verdicts out; no clock, no process, no storage."""
