"""stomp.py, the client for Python: one measurement in a separate process, like work.ts for the other clients.

stomp_py.py <job as JSON> <port> [<user and password>]. Prints the result as JSON.
"""

import json
import sys
import threading
import time

import stomp

JOB = json.loads(sys.argv[1])
PORT = int(sys.argv[2])
LOGIN = sys.argv[3] if len(sys.argv) > 3 else "guest"
KIND = JOB["kind"]
SIZE = JOB.get("size", 100)
HEADERS = JOB.get("headers", 8)
BODY = ("abcdefghijklmnopqrstuvwxyz0123456789" * (SIZE // 36 + 1))[:SIZE]
IN_FLIGHT = 256
LIMIT = 80


class Listener(stomp.ConnectionListener):
    """Counts down to the last awaited frame."""

    def __init__(self):
        self.each = None
        self.left = 0
        self.done = threading.Event()
        self.receipts = {}
        self.in_flight = threading.Semaphore(IN_FLIGHT)

    def expect(self, count, each=None):
        self.each = each
        self.left = count
        self.done.clear()

    def on_message(self, frame):
        frame.body
        if self.each is not None:
            self.each(frame)
        self.left -= 1
        if self.left == 0:
            self.done.set()

    def on_receipt(self, frame):
        event = self.receipts.pop(frame.headers["receipt-id"], None)
        if event is not None:
            event.set()
        self.in_flight.release()

    def on_error(self, frame):
        print(f"ERROR: {frame.headers}", file=sys.stderr)
        sys.exit(1)


class Client:
    """One connected client."""

    def __init__(self):
        self.listener = Listener()
        self.connection = stomp.Connection12([("127.0.0.1", PORT)], heartbeats=(10000, 10000))
        self.connection.set_listener("bench", self.listener)
        self.connection.connect(LOGIN, LOGIN, wait=True)

    def wait(self):
        if not self.listener.done.wait(LIMIT):
            raise TimeoutError(f"{self.listener.left} messages did not come")

    def confirmed(self, destination, body=""):
        event = self.listener.receipts["sync"] = threading.Event()
        self.connection.send(destination, body, content_type="text/plain", receipt="sync")
        if not event.wait(LIMIT):
            raise TimeoutError("no receipt came")

    def sync(self, sends, acks):
        self.confirmed(f"/sync/{sends}/{acks}")

    def receive(self, destination, count):
        self.listener.expect(count)
        self.connection.subscribe(destination, "1", ack="auto")
        self.wait()

    def receive_and_ack(self, destination, count):
        self.listener.expect(count, lambda frame: self.connection.ack(frame.headers["ack"]))
        self.connection.subscribe(destination, "1", ack="client-individual")
        self.wait()
        self.sync(0, count)

    def send(self, destination, count):
        for _ in range(count):
            self.connection.send(destination, BODY, content_type="text/plain")
        self.sync(count, 0)

    def send_with_receipts(self, destination, count):
        for number in range(count):
            self.listener.in_flight.acquire()
            self.connection.send(destination, BODY, content_type="text/plain", receipt=str(number))
        for _ in range(IN_FLIGHT):
            self.listener.in_flight.acquire()

    def echo(self, destination, count):
        def again(_):
            if self.listener.left > 1:
                self.connection.send(destination, BODY, content_type="text/plain")

        self.listener.expect(count, again)
        self.connection.subscribe(destination, "1", ack="auto")
        self.connection.send(destination, BODY, content_type="text/plain")
        self.wait()


def measure(count):
    """Does the job with that many messages, over a new connection."""
    client = Client()
    run = {
        "receive": lambda: client.receive(f"/receive/{count}/{SIZE}/{HEADERS}", count),
        "ack": lambda: client.receive_and_ack(f"/receive/{count}/{SIZE}/{HEADERS}", count),
        "send": lambda: client.send("/queue/bench", count),
        "receipts": lambda: client.send_with_receipts("/queue/bench", count),
        "echo": lambda: client.echo("/echo", count),
    }[KIND]
    cpu = time.process_time()
    start = time.perf_counter()
    run()
    measured = {"count": count, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    client.connection.disconnect()
    return measured


result = measure(JOB["first"])
rate = result["count"] / result["seconds"]
result = measure(max(1, round(rate * JOB["seconds"])))
print(json.dumps(result), flush=True)
