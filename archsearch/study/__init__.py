"""Drives a study: opens it, runs its phases in one loop, writes down and tells what happens."""
