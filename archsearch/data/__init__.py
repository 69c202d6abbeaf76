"""Images and labels: from what people have to arrays that training can use. No Keras in here."""

from archsearch.data.dataset import load
from archsearch.data.prepare import prepare
from archsearch.data.sources.names import open_source

__all__ = ["load", "open_source", "prepare"]
