"""A worker's process that is never ready."""

from multiprocessing.connection import Connection


def main(connection: Connection) -> None:
    while True:
        connection.recv()
