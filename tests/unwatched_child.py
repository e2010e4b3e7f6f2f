"""A child that does not end with its parent by the kernel's doing, and is busy."""

import ctypes
import sys
import time
from multiprocessing.connection import Connection


def main(connection: Connection) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, 0)  # PR_SET_PDEATHSIG, none
    connection.send("here")
    time.sleep(1e6)
