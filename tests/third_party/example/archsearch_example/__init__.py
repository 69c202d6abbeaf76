"""What a package of one's own adds to archsearch: a space, a rule, a sampler and an export format."""
