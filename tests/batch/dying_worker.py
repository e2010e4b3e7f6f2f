"""A worker's process that is ready at once, and dies of its first job."""

import os
from multiprocessing.connection import Connection

from seats.batch.local_child import Ready


def main(connection: Connection) -> None:
    connection.recv()
    connection.send(Ready(1))
    connection.recv()
    os._exit(9)
