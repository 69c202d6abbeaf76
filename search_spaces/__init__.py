"""The classic families as design spaces, and the published networks: one file a family.

Nothing in `archsearch` imports these; they are found by entry point, exactly as a third party's would be.
"""
