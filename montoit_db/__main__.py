"""`python -m montoit_db`: the `montoit-db` command."""

import sys

if not sys.flags.safe_path:
    del sys.path[0]  # the current directory: a module that merely lies there is not imported

from montoit_db.cli import main

main()
