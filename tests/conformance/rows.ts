/**
 * The requirements of the three STOMP specifications in our words, a row for each that shows on the wire.
 *
 * An id begins with its part: F is framing, for both sides; C is the client; S is the server, here the embedded broker.
 * The number after the letter is the newest version that the row is about. A level in lower case is not stated in a
 * specification but follows from it.
 *
 * @module
 */

/** The side under test: the client, or the embedded broker. */
export type Side = "client" | "broker";

/** A requirement of STOMP. */
export interface Row {
  /** The id, for example `F12-01`. */
  readonly id: string;
  /** The versions that the requirement applies to. */
  readonly versions: string;
  /** The level, for example `MUST`. */
  readonly level: string;
  /** The requirement as a sentence. */
  readonly requirement: string;
  /** The sides that have to meet it. */
  readonly sides: readonly Side[];
}

// ASCII only: Bun's `String.raw` turns everything else into escapes.
const FRAMING = String.raw`
F12-01 1.0-1.2 MUST         A frame is a command line, header lines, an empty line, a body and a NUL
F12-02 1.2     MUST         Each line ends with LF or CRLF, in any mix
F11-03 1.0-1.1 MUST         A CR is an ordinary byte: lines end with LF alone
F12-04 1.2     MUST         A CR without a following LF makes the command line or header line malformed
F12-05 1.0-1.2 MUST         Line ends after the NUL, however many, belong to no frame
F12-06 1.0-1.2 MUST         The same bytes give the same frames, however they are split into chunks
F12-07 1.1-1.2 MUST         Commands are case-sensitive
F12-08 1.1-1.2 MUST         Header names are case-sensitive
F12-09 1.0-1.2 MUST         A header line has a colon, and a name before it
F12-10 1.1-1.2 MUST         A value may be empty
F10-11 1.0     MUST         A value may contain unescaped colons
F12-12 1.1-1.2 MUST         Names and values never contain unescaped colons, except in CONNECT and CONNECTED
F12-13 1.1-1.2 MAY          A reader may split a line at its first colon and take further colons as data
F12-14 1.1-1.2 SHOULD       If a header is repeated, the first one counts
F12-15 1.2     MAY          Repeats of a header may be ignored
F12-16 1.1-1.2 MUST         Only SEND, MESSAGE and ERROR have a body
F10-17 1.0     MAY          The server may ignore a body on SUBSCRIBE
F12-18 1.0-1.2 MUST         content-length is the number of bytes in the body, NULs included
F12-19 1.0-1.2 MUST         A NUL follows a body of known length as well
F12-20 1.0-1.2 MUST         Without content-length, the first NUL ends the frame
F12-21 1.1-1.2 MUST         A body that contains a NUL is sent with content-length
F12-22 1.0-1.2 SHOULD       A body without a NUL is sent with content-length, too
F12-23 1.2     MAY          Any frame may have content-length, even one without a body
F12-24 1.1-1.2 SHOULD       A body is sent with content-type
F12-25 1.2     MUST         content-type is a MIME type, and is passed on unchanged
F12-26 1.1-1.2 SHOULD       A body without content-type is binary, not text
F12-27 1.1-1.2 SHOULD       Text is UTF-8, unless content-type names another charset
F12-28 1.1-1.2 MUST         Both sides read and write UTF-8
F12-29 1.1-1.2 RECOMMENDED  Text is sent as UTF-8
F12-30 1.1-1.2 MUST         The command line and header lines are UTF-8
F12-31 1.0-1.2 MUST         A body arrives byte for byte: CR, LF and BOM are kept, even at its ends
F12-32 1.1-1.2 MUST         Spaces in a name or value are neither removed nor added
F10-33 1.0     SHOULD       Spaces before a value are padding, and are dropped
F12-34 1.1-1.2 MUST         \n, \c and \\ are read as LF, colon and backslash
F12-35 1.2     MUST         \r is read as CR
F11-36 1.1     MUST         \r is not an escape, so it is fatal
F12-37 1.1-1.2 MUST         Any other escape is fatal, and so is a backslash at the end
F12-38 1.1-1.2 MUST         Escapes are decoded once, from left to right
F12-39 1.1-1.2 MUST         Characters that have escapes are escaped, in names and in values
F10-40 1.0     MUST         There are no escapes: a backslash is a backslash
F12-41 1.1-1.2 MUST         CONNECT and CONNECTED have no escapes
F12-42 1.0-1.2 must         What a frame cannot carry is not written, so that no header can forge another one
F12-43 1.1-1.2 MAY          There may be limits where the grammar has none
F12-44 1.1-1.2 MUST         A heart-beat stands between frames, never inside one
F12-45 1.0-1.2 must         CONNECT and CONNECTED are read with either line end, as the version is not known yet
F12-46 1.0-1.2 must         The rules of the negotiated version apply from the first frame after CONNECTED
`;

const CLIENT = String.raw`
C12-01 1.0-1.2 MUST         The client speaks first: it sends CONNECT or STOMP, and waits for CONNECTED
C12-02 1.1-1.2 SHOULD       The client sends CONNECT, which 1.0 brokers understand as well
C12-03 1.1-1.2 MAY          The client may send STOMP
C12-04 1.1-1.2 MUST         CONNECT has accept-version
C12-05 1.1-1.2 SHOULD       The versions are in ascending order, separated by commas without spaces
C12-06 1.1-1.2 MUST         CONNECT has host
C12-07 1.1-1.2 RECOMMENDED  host is the name that the socket was opened to, or one that the user chose
C12-08 1.0-1.2 MAY          CONNECT may have login and passcode
C12-09 1.1-1.2 MAY          CONNECT may have heart-beat: two whole numbers separated by a comma
C12-10 1.0-1.2 MUST         CONNECTED without version means 1.0
C12-11 1.1-1.2 MUST         The session uses the version of CONNECTED; one that was not offered ends it
C12-12 1.0-1.2 MUST         ERROR in place of CONNECTED is a refusal
C12-13 1.0-1.2 must         The end of the connection in place of CONNECTED is a refusal, too
C12-14 1.0-1.2 MUST NOT     CONNECT has no receipt
C12-15 1.1-1.2 MUST         CONNECTED is not unescaped
C12-16 1.1-1.2 MAY          CONNECTED may have session, server, heart-beat and other headers
C12-17 1.1-1.2 MUST         A missing heart-beat header means 0,0
C12-18 1.1-1.2 MUST         The client sends at the longer of its own interval and the one that the server wants
C12-19 1.1-1.2 MUST         The client expects data at the longer of the server's interval and the one that it wants
C12-20 1.1-1.2 MUST         A 0 on either side disables that direction
C12-21 1.1-1.2 MUST         Frames count as heart-beats: something arrives within each interval
C12-22 1.2     MUST         With nothing to send, the client sends a line end
C12-23 1.1-1.2 MUST         Every received byte counts, even in the middle of a frame
C12-24 1.1-1.2 MAY          After a silent interval, the peer may be considered dead
C12-25 1.1-1.2 SHOULD       The check allows for delays
C12-26 1.0-1.2 MUST         SEND has destination
C12-27 1.0-1.2 MAY          SEND may have transaction, and the user's headers
C12-28 1.0-1.2 MUST         A destination is any text, and is not changed
C12-29 1.0-1.2 MAY          Any frame except CONNECT may have a receipt with any value
C12-30 1.0-1.2 MUST         A RECEIPT is matched by its unescaped receipt-id, in any order
C12-31 1.2     MUST         A RECEIPT confirms its own frame, and only the arrival of those before it
C12-32 1.0-1.2 MUST         SUBSCRIBE has destination
C12-33 1.1-1.2 MUST         SUBSCRIBE has id
C12-34 1.2     MUST         No two open subscriptions of a connection have the same id
C12-35 1.1-1.2 MUST         ack is auto, client or client-individual, and auto by default
C12-36 1.1-1.2 MUST         In mode client, an ACK covers all earlier messages of that subscription
C12-37 1.2     SHOULD       A message that could not be handled is refused with NACK
C12-38 1.1-1.2 MUST         In mode client-individual, ACK and NACK apply to one message
C12-39 1.0-1.2 MAY          In mode auto, no ACK is sent
C12-40 1.2     MUST         The id of ACK and NACK is the ack header of the MESSAGE
C11-41 1.1     MUST         ACK and NACK have subscription and message-id
C10-42 1.0     MUST         ACK has message-id, and there is no NACK
C12-43 1.0-1.2 MAY          ACK and NACK may have transaction
C12-44 1.0-1.2 MUST         The ids in an ACK are returned byte for byte, whatever they contain
C12-45 1.1-1.2 MUST         UNSUBSCRIBE has the id of an open subscription
C10-46 1.0     MUST         UNSUBSCRIBE has destination, or id if SUBSCRIBE had one
C12-47 1.0-1.2 MUST         BEGIN, COMMIT and ABORT have transaction
C12-48 1.2     MUST         No two open transactions of a connection have the same id
C12-49 1.1-1.2 MUST         DISCONNECT, or the loss of the connection, aborts open transactions
C12-50 1.1-1.2 SHOULD       An orderly end is DISCONNECT with a receipt, its RECEIPT, and closing the socket
C12-51 1.1-1.2 MUST NOT     Nothing is sent after DISCONNECT
C12-52 1.2     MUST         The RECEIPT of DISCONNECT may never arrive
C12-53 1.1-1.2 MAY          A client may leave without DISCONNECT
C12-54 1.0-1.2 MUST         Messages may still arrive before the RECEIPT of DISCONNECT
C12-55 1.1-1.2 MUST         Messages are delivered by subscription, not by destination
C10-56 1.0     MUST         A MESSAGE without subscription is delivered by destination
C12-57 1.0-1.2 MUST         All headers of a MESSAGE reach the application
C12-58 1.2     MUST         An ERROR followed by the end of the connection fails pending calls, and nothing more is sent
C11-59 1.0-1.1 MAY          A connection may survive an ERROR
C12-60 1.1-1.2 SHOULD       An ERROR with receipt-id is about the frame with that receipt
C12-61 1.0-1.2 MAY          An ERROR may have no headers and no body
C12-62 1.0-1.2 MAY          Frames that STOMP does not define may be sent
C12-63 1.0-1.2 must         Malformed or unknown input ends the connection
C12-64 1.1-1.2 MAY          An unacknowledged message may be delivered again on the next connection
C12-65 1.0-1.2 must         A MESSAGE for a subscription that has ended is dropped
`;

const SERVER = String.raw`
S12-01 1.2     MUST         STOMP is treated as CONNECT
S12-02 1.1-1.2 MUST         CONNECTED has version
S12-03 1.1-1.2 MUST         version is the highest that both support, whatever the order of the offer
S12-04 1.1-1.2 MUST         No accept-version means an offer of 1.0 alone
S12-05 1.2     MUST         Without a common version there is an ERROR, and the connection ends
S12-06 1.1-1.2 MAY          CONNECTED may have heart-beat, session and server
S12-07 1.1-1.2 SHOULD       A refusal gives the reason in an ERROR, and closes
S12-08 1.1-1.2 MAY          An unknown host may be accepted or refused
S12-09 1.1-1.2 must         A CONNECT without host may be accepted or refused
S12-10 1.0-1.2 must         A frame before CONNECT is answered with ERROR, and has no effect
S12-11 1.0-1.2 must         A second CONNECT is answered with ERROR
S12-12 1.0-1.2 must         A frame that only servers send is answered with ERROR
S12-13 1.1-1.2 MUST         CONNECT is not unescaped, and CONNECTED is not escaped
S12-14 1.1-1.2 MUST         A missing heart-beat header means 0,0
S12-15 1.1-1.2 MUST         Intervals are negotiated as on the client, from the other side
S12-16 1.1-1.2 MUST         A heart-beat header other than two whole numbers is refused
S12-17 1.1-1.2 MUST         The server sends something within each interval, a line end if there is nothing else
S12-18 1.1-1.2 SHOULD       Delayed data is tolerated, and every byte counts
S12-19 1.1-1.2 MUST         A SEND that cannot be carried out is answered with ERROR, and the connection ends
S12-20 1.1-1.2 MUST         The sender's headers are returned with the MESSAGE
S12-21 1.1-1.2 MUST         The sender's headers are encoded again for the version of each receiver
S12-22 1.1-1.2 SHOULD       If a header is repeated, the first one decides
S12-23 1.0-1.2 MUST         MESSAGE has destination, in 1.2 exactly that of the SEND
S12-24 1.0-1.2 MUST         MESSAGE has a unique message-id
S12-25 1.1-1.2 MUST         MESSAGE has subscription, the id of the SUBSCRIBE
S12-26 1.2     MUST         MESSAGE has ack if it requires an ACK
S12-27 1.1-1.2 MUST         A sender cannot forge the server's headers
S12-28 1.1-1.2 SHOULD       MESSAGE has the correct content-length, and the sender's content-type
S12-29 1.1-1.2 should       receipt and transaction of the SEND are not passed on
S12-30 1.1-1.2 MUST         A SUBSCRIBE that cannot be carried out is answered with ERROR, for example without destination or id
S12-31 1.2     must         A SUBSCRIBE whose id is already open is answered with ERROR
S12-32 1.1-1.2 MUST         ack is auto by default, and nothing other than the three modes
S12-33 1.1-1.2 MUST         auto: a message counts as delivered once it is sent
S12-34 1.1-1.2 MUST         client: ACK settles all earlier messages of the same subscription, and of no other
S12-35 1.1-1.2 MUST NOT     client-individual: ACK and NACK settle no earlier message
S12-36 1.1-1.2 MAY          Messages that a lost connection had not acknowledged may go to another
S12-37 1.1-1.2 MUST         NACK means "not consumed", for one message, or in mode client for all earlier ones, too
S12-38 1.2     MUST         ACK and NACK are read from id
S11-39 1.1     MUST         ACK and NACK are read from subscription and message-id together
S10-40 1.0     MUST         ACK is read from message-id, and NACK is unknown
S12-41 1.0-1.2 should       An ACK for a message that does not wait for one is answered with ERROR
S12-42 1.0-1.2 MUST         After UNSUBSCRIBE there are no more messages
S12-43 1.1-1.2 must         UNSUBSCRIBE without id, or with one that is not open, is answered with ERROR
S10-44 1.0     MUST         UNSUBSCRIBE takes destination or id
S12-45 1.0-1.2 MUST         Each receipt is answered once, with the same text, when its frame has been handled
S12-46 1.2     MUST         A RECEIPT means that all earlier frames were read
S12-47 1.0-1.2 MUST         RECEIPT has no body
S12-48 1.1-1.2 MUST         A frame that failed gets no RECEIPT but an ERROR, with receipt-id
S12-49 1.0-1.2 MUST         The content of a transaction takes effect at COMMIT, all of it
S12-50 1.0-1.2 MUST         ABORT drops a transaction, and its messages can be acknowledged again
S12-51 1.0-1.2 must         A transaction that is unknown, unnamed or already open is answered with ERROR
S12-52 1.1-1.2 MUST         DISCONNECT, or the loss of the connection, aborts open transactions
S12-53 1.1-1.2 MUST         DISCONNECT is answered with its RECEIPT, then the connection ends
S12-54 1.2     SHOULD       Frames that have arrived are carried out, even if their client has gone
S12-55 1.2     MUST         After an ERROR the connection ends, and what still arrives has no effect
S12-56 1.0-1.2 SHOULD       ERROR has message, and its body has content-length and content-type
S12-57 1.1-1.2 MAY          Unknown commands may be answered with ERROR
S12-58 1.1-1.2 MUST         An undefined escape is answered with ERROR, the connection ends, and its frame has no effect
S12-59 1.1-1.2 MAY          Exceeding a limit is answered with ERROR, and the connection ends, before the memory is used
S12-60 1.1-1.2 MUST         Clients that come and go leave nothing behind
S12-61 1.2     SHOULD       The server waits a little before it closes, so that the last frame can be read
S12-62 1.2     MUST         A 1.2 client may end its lines with CRLF; the server writes LF
S12-63 1.0-1.2 MUST         A destination is any text, and means only what the server says it means
S10-64 1.0     MAY          SUBSCRIBE may have a selector
S12-65 1.0-1.2 MAY          Headers that the server does not know are not errors
S12-66 1.2     MAY          A server may add headers to a message on its way
`;

/** All rows, in the order of their ids within each part. */
export const ROWS: readonly Row[] = [
  ...read(FRAMING, ["client", "broker"]),
  ...read(CLIENT, ["client"]),
  ...read(SERVER, ["broker"]),
];

/** The reasons why some rows have no test on a side. */
export const NOT_TESTED: Readonly<Record<string, string>> = {
  "F10-17 client": "server only",
  "C12-03 client": "not used: the client sends CONNECT, which every broker knows",
  "S12-66 broker": "not used: the sender's headers are returned unchanged, or not at all",
};

/** Remarks on rows. */
export const REMARKS: Readonly<Record<string, string>> = {
  "F11-03": "except for the lines of CONNECT and CONNECTED: see F12-45",
  "F12-16": "a received one is dropped in 1.0, and in all versions if it contains only line ends: see AMB-17",
  "F12-43": "`maxHeaders`, `maxHeaderBytes`, `maxBodyBytes`",
  "C12-07": "the path of the URL or the option `host`; otherwise `/`, which is RabbitMQ's default",
  "C12-16": "the application gets `server` unchanged",
  "C12-35": "1.0 has no `client-individual`, so it is refused there",
  "C12-58": "it is the broker that closes: see AMB-01",
  "C12-62": "with `sendFrame`",
  "S12-08": "accepted: there are no virtual hosts",
  "S12-09": "accepted",
  "S12-30": "1.0 needs no id",
  "S12-37": "refused messages return to their place in the queue, at most five times",
  "S10-64": "refused in all versions: ignoring it would deliver unwanted messages",
  "S12-60": "tested in memory here, and over TCP in `tests/embedded_broker/disconnect_test.ts`",
  "S12-61": "tested in memory here, and over TCP in `tests/embedded_broker/disconnect_test.ts`",
};

function read(block: string, sides: readonly Side[]): Row[] {
  return block.trim().split("\n").map((line) => {
    const [, id, versions, level, requirement] = /^(\S+) +(\S+) +(MUST NOT|\S+) +(.+)$/.exec(line) ?? [];
    if (requirement === undefined) throw new TypeError(`Cannot read row: ${line}`);
    return { id: id!, versions: versions!.replace("-", " to "), level: level!, requirement, sides };
  });
}
