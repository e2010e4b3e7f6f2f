"""The entry point, which imports next to nothing: Ctrl-C in the first moments, spent on imports, must end in order.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with failures (batch, chat, eval, analyze), 130 interrupted, 141
the reader of standard output has gone (as if ended by SIGPIPE).
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and end the process."""
    if sys.platform == "win32":  # which lacks what children, locks and limits are made of here
        os.write(
            2, b"error: seats does not run on Windows: install and run it inside WSL (wsl --install gets you one)\n"
        )
        os._exit(1)
    try:
        from seats.allocator import keep_freed_memory
        from seats_cli.app import finished, run

        keep_freed_memory()
        code = finished(run(sys.argv[1:]))
    except KeyboardInterrupt:
        code = 130
        from contextlib import suppress

        with suppress(OSError):
            os.write(2, b"interrupted\n")
    # Taking torch and transformers down in good order takes a second, and a clip may still be decoding on a thread.
    os._exit(code)
