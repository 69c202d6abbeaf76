"""Images and labels: from what people have to arrays that training can use. No Keras in here."""

from archsearch.data.dataset import load
from archsearch.data.inspection import inspect
from archsearch.data.prepare import prepare
from archsearch.data.sheet import contact_sheet
from archsearch.data.sources.names import open_source

__all__ = ["contact_sheet", "inspect", "load", "open_source", "prepare"]
