"""Where jobs run: worker processes of this machine, or a stand-in for tests."""
