"""Uses stomp.py with the broker on the given port, and prints "passed" if everything works."""

import queue
import sys

import stomp

PORT = int(sys.argv[1])
TIMEOUT_S = 10


class Inbox(stomp.ConnectionListener):
    """Queues everything that arrives."""

    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.disconnected = queue.Queue()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.disconnected.put(True)


def expect(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


def connect(connection_class, passcode="right"):
    connection = connection_class([("127.0.0.1", PORT)], heartbeats=(1000, 1000)) if (
        connection_class is not stomp.Connection10
    ) else connection_class([("127.0.0.1", PORT)])
    inbox = Inbox()
    connection.set_listener("inbox", inbox)
    connection.connect("user", passcode, wait=passcode == "right")
    return connection, inbox


def acknowledge(verb, version, message, **more):
    if version == "1.2":
        verb(message.headers["ack"], **more)
    elif version == "1.1":
        verb(message.headers["message-id"], message.headers["subscription"], **more)
    else:
        verb(message.headers["message-id"], **more)


for version, connection_class in (
    ("1.0", stomp.Connection10),
    ("1.1", stomp.Connection11),
    ("1.2", stomp.Connection12),
):
    connection, inbox = connect(connection_class)
    take = lambda: inbox.messages.get(timeout=TIMEOUT_S)

    connection.subscribe("/queue/a", id="1", ack="client-individual")
    note = "plain" if version == "1.0" else "a:b\nc\\d"
    connection.send("/queue/a", "h\u00e9llo", headers={"note": note, "receipt": "r1"})
    connection.send("/queue/a", "two")
    expect(inbox.receipts.get(timeout=TIMEOUT_S), "r1")
    one, two = take(), take()
    expect((one.body, one.headers["note"], two.body), ("h\u00e9llo", note, "two"))
    acknowledge(connection.ack, version, two)
    if version != "1.0":
        acknowledge(connection.nack, version, one)
        one = take()
        expect((one.body, one.headers["redelivered"]), ("h\u00e9llo", "true"))
    acknowledge(connection.ack, version, one)

    dropped = connection.begin()
    connection.send("/queue/a", "never", transaction=dropped)
    connection.abort(dropped)
    kept = connection.begin()
    connection.send("/queue/a", "in the transaction", transaction=kept)
    connection.send("/queue/a", "outside")
    message = take()
    expect(message.body, "outside")
    acknowledge(connection.ack, version, message, transaction=kept)
    connection.commit(kept)
    message = take()
    expect(message.body, "in the transaction")
    acknowledge(connection.ack, version, message)

    connection.unsubscribe(id="1")
    connection.disconnect(receipt="bye")
    expect(inbox.receipts.get(timeout=TIMEOUT_S), "bye")
    inbox.disconnected.get(timeout=TIMEOUT_S)
    expect(inbox.errors.qsize(), 0)

connection, inbox = connect(stomp.Connection12, "wrong")
expect(inbox.errors.get(timeout=TIMEOUT_S).headers["message"], "login refused")
inbox.disconnected.get(timeout=TIMEOUT_S)

print("passed")
