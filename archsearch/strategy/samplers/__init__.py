"""Samplers: what network is tried next. Each is named under the entry-point group `archsearch.samplers`."""
