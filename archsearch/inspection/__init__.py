"""What is in people's images, told before anything is prepared from them: findings and a contact sheet."""

from archsearch.inspection.findings import inspect
from archsearch.inspection.sheet import contact_sheet

__all__ = ["contact_sheet", "inspect"]
