"""A worker's process that needs no model: it takes many clips at a time, begins one and never ends it."""

import time
from multiprocessing.connection import Connection

from seats.batch.jobs import Started
from seats.batch.local_child import Numbered, Ready


def main(connection: Connection) -> None:
    connection.recv()
    connection.send(Ready(8))
    message = connection.recv()
    connection.send(Numbered(message.number, Started(message.what)))
    time.sleep(600)
