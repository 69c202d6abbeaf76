"""Fidelity schemes: for how long each trial trains. Named under the group `archsearch.fidelities`."""
