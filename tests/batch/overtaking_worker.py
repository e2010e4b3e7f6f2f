"""A worker's process whose second clip is decoded before its first, and that dies of it."""

import os
from multiprocessing.connection import Connection

from seats.batch.jobs import Started
from seats.batch.local_child import Numbered, Ready


def main(connection: Connection) -> None:
    connection.recv()
    connection.send(Ready(2))
    _, second = connection.recv(), connection.recv()
    connection.send(Numbered(second.number, Started(second.what)))
    os._exit(9)
