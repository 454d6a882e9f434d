"""The work of `cargo xtask bench peers` for Locust: a client of our own that reports to the request event, as its
documentation shows for systems other than HTTP, over websocket-client on gevent's sockets."""

import os

import gevent
import websocket
from locust import User, constant_throughput, task

URL = os.environ["URL"]
WORK = os.environ["WORK"]
THINK = float(os.environ.get("THINK") or 0)


class Talker(User):
    # In the open-ended stall, 50 users of one conversation a second each are its 50 conversations a second.
    wait_time = constant_throughput(1) if WORK == "stalled" else constant_throughput(1e9)

    def measured(self, kind, call):
        with self.environment.events.request.measure("WS", kind):
            return call()

    def open(self):
        return self.measured("connect", lambda: websocket.create_connection(URL, timeout=10))

    def say(self, socket):
        def exchange():
            socket.send("hello")
            answer = socket.recv()
            if not answer.startswith("re: "):
                raise ValueError("not the answer")
            return answer

        return self.measured("turn", exchange)

    @task
    def converse(self):
        # What fails is reported by `measured`, and gives None.
        socket = self.open()
        if socket is None:
            return self.leave()
        try:
            if WORK == "upgrades":
                return
            if not self.say(socket):
                return self.leave()
            if WORK == "idle":
                gevent.sleep(600)
            while WORK in ("turns", "paced"):
                gevent.sleep(THINK)
                self.say(socket)
            if WORK == "reset":
                gevent.sleep(2)
                self.say(socket)
        finally:
            socket.close()
        self.leave()

    def leave(self):
        """One conversation for each user: a Locust whose users all stop is stopped itself, so they stay."""
        if WORK in ("refused", "reset"):
            gevent.sleep(600)
