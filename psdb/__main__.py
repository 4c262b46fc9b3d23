"""`python -m psdb`."""

import sys

from psdb.cli import main

sys.exit(main())
