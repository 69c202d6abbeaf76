"""The images that the tests of data make."""

from tests.data.conftest import make_folder

__all__ = ["make_folder"]
