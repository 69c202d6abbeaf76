"""`python -m archsearch` is `archsearch`."""

import sys

from archsearch.cli import main

sys.exit(main())
