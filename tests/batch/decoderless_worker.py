"""A worker's process that needs no model: it turns to its first clip, and then cannot start a decoder for another."""

import os
from multiprocessing.connection import Connection

from seats.batch.jobs import Started
from seats.batch.local_child import DECODER_EXIT, Numbered, Ready


def main(connection: Connection) -> None:
    connection.recv()
    connection.send(Ready(1))
    message = connection.recv()
    connection.send(Numbered(message.number, Started(message.what)))
    os._exit(DECODER_EXIT)
