"""A worker's process that needs no model: its rows say which device it was given, and over "slow" clips it waits."""

import time
from multiprocessing.connection import Connection

from seats.batch.jobs import Finished, Made, Said, Started
from seats.batch.local_child import Numbered, Ready, Stop


def main(connection: Connection) -> None:
    device = connection.recv().model.device
    connection.send(Said("a remark"))
    connection.send(Ready(1))
    while True:
        message = connection.recv()
        if isinstance(message, Stop):
            continue
        number, job = message.number, message.what
        connection.send(Numbered(number, Started(job)))
        if "slow" in job.clip:
            time.sleep(600)
        for asked in job.asked:
            connection.send(Numbered(number, Made(job, asked, {"device": device})))
        connection.send(Numbered(number, Finished(job, complete=True)))
