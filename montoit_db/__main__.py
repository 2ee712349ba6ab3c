"""The `montoit-db` command, also as `python -m montoit_db`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, also while its modules are still loading."""
    try:
        from montoit_db import cli  # noqa: PLC0415 -- inside, so that Ctrl-C is caught

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current directory: a module that merely lies there is not imported
    main()
