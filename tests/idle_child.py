"""A child that says it is there and waits to be let go."""

from multiprocessing.connection import Connection


def main(connection: Connection) -> None:
    connection.send("here")
    connection.recv()
