/**
 * What the three texts of STOMP ask for, a row for each thing that can be told apart on the wire, in our own words.
 *
 * An id begins with its part: F is framing, for both sides; C is the client; S is the server, here the embedded broker.
 * The number behind the letter is the newest version that the row is about. A level in small letters does not stand in
 * the text as such, but follows from it.
 *
 * @module
 */

/** Who is tested: the client, or the embedded broker. */
export type Side = "client" | "broker";

/** One thing that STOMP asks for. */
export interface Row {
  /** For example `F12-01`. */
  readonly id: string;
  /** The versions that it holds for. */
  readonly versions: string;
  /** How strongly it is asked for. */
  readonly level: string;
  /** What is asked for. */
  readonly requirement: string;
  /** Who has to do it. */
  readonly sides: readonly Side[];
}

// ASCII only: of anything else Bun's `String.raw` makes an escape.
const FRAMING = String.raw`
F12-01 1.0-1.2 MUST         A frame is a command line, header lines, an empty line, a body and a NUL
F12-02 1.2     MUST         Each line ends with LF or with CRLF, as it likes
F11-03 1.0-1.1 MUST         A CR is an octet like any other: lines end with LF alone
F12-04 1.2     MUST         A CR that no LF follows makes command line or header line malformed
F12-05 1.0-1.2 MUST         Line ends behind the NUL, however many, belong to no frame
F12-06 1.0-1.2 MUST         The same octets are the same frames, however they are cut into chunks
F12-07 1.1-1.2 MUST         Commands are told apart by case
F12-08 1.1-1.2 MUST         So are header names
F12-09 1.0-1.2 MUST         A header line has a colon, and a name before it
F12-10 1.1-1.2 MUST         A value may be empty
F10-11 1.0     MUST         A value may hold colons as they are
F12-12 1.1-1.2 MUST         Nobody writes a colon into a name or a value as it is, but in CONNECT and CONNECTED
F12-13 1.1-1.2 MAY          Who reads may take a line apart at its first colon, and further ones for data
F12-14 1.1-1.2 SHOULD       Of several headers of one name the first one counts
F12-15 1.2     MAY          The others may be ignored
F12-16 1.1-1.2 MUST         Only SEND, MESSAGE and ERROR have a body
F10-17 1.0     MAY          The server may ignore a body on SUBSCRIBE
F12-18 1.0-1.2 MUST         content-length counts octets, and so many are the body, NULs among them
F12-19 1.0-1.2 MUST         A NUL stands behind a body of known length all the same
F12-20 1.0-1.2 MUST         Without content-length the first NUL ends the frame
F12-21 1.1-1.2 MUST         A body with a NUL in it goes out with content-length
F12-22 1.0-1.2 SHOULD       So does every other body
F12-23 1.2     MAY          Any frame may have content-length, also one without a body
F12-24 1.1-1.2 SHOULD       A body goes out with content-type
F12-25 1.2     MUST         A content-type is a MIME type, and is passed on as it is
F12-26 1.1-1.2 SHOULD       A body without content-type is octets, and nobody's text
F12-27 1.1-1.2 SHOULD       Text is UTF-8, unless the charset of content-type says otherwise
F12-28 1.1-1.2 MUST         Both sides read and write UTF-8
F12-29 1.1-1.2 RECOMMENDED  Text goes out as UTF-8
F12-30 1.1-1.2 MUST         Command line and header lines are UTF-8
F12-31 1.0-1.2 MUST         A body arrives octet for octet: CR, LF and BOM stay, also at its ends
F12-32 1.1-1.2 MUST         No space is taken from a name or a value, and none is added
F10-33 1.0     SHOULD       Spaces before a value are padding, and are dropped
F12-34 1.1-1.2 MUST         \n, \c and \\ are read as LF, colon and backslash
F12-35 1.2     MUST         \r is read as CR
F11-36 1.1     MUST         \r is no escape, and so it is fatal
F12-37 1.1-1.2 MUST         Any other escape is fatal, and so is a backslash at the end
F12-38 1.1-1.2 MUST         Escapes are read once, from the left
F12-39 1.1-1.2 MUST         What escapes stand for is written as escapes, in names and in values
F10-40 1.0     MUST         There are no escapes: a backslash is a backslash
F12-41 1.1-1.2 MUST         CONNECT and CONNECTED have no escapes
F12-42 1.0-1.2 must         What a frame cannot carry is not written, so that no header makes another one
F12-43 1.1-1.2 MAY          There may be limits for what has none in the grammar
F12-44 1.1-1.2 MUST         A heart-beat stands between frames, never inside one
F12-45 1.0-1.2 must         CONNECT and CONNECTED are read with either line end: the version is not known yet
F12-46 1.0-1.2 must         The rules of the agreed version hold from the first frame behind CONNECTED on
`;

const CLIENT = String.raw`
C12-01 1.0-1.2 MUST         The client speaks first, says CONNECT or STOMP, and waits for CONNECTED
C12-02 1.1-1.2 SHOULD       It says CONNECT, which 1.0 brokers know as well
C12-03 1.1-1.2 MAY          It may say STOMP
C12-04 1.1-1.2 MUST         CONNECT has accept-version
C12-05 1.1-1.2 SHOULD       The versions stand in rising order, with commas and without spaces
C12-06 1.1-1.2 MUST         CONNECT has host
C12-07 1.1-1.2 RECOMMENDED  It is the name that the socket was opened to, or one of the user's choice
C12-08 1.0-1.2 MAY          CONNECT may have login and passcode
C12-09 1.1-1.2 MAY          CONNECT may have heart-beat: two whole numbers with a comma between
C12-10 1.0-1.2 MUST         CONNECTED without version is 1.0
C12-11 1.1-1.2 MUST         The session uses the version of CONNECTED; one that was not offered ends it
C12-12 1.0-1.2 MUST         ERROR in the place of CONNECTED is a refusal
C12-13 1.0-1.2 must         So is the end of the connection there
C12-14 1.0-1.2 MUST NOT     CONNECT has no receipt
C12-15 1.1-1.2 MUST         CONNECTED is not unescaped
C12-16 1.1-1.2 MAY          CONNECTED may have session, server, heart-beat and others
C12-17 1.1-1.2 MUST         No heart-beat header is the same as 0,0
C12-18 1.1-1.2 MUST         The client sends in the longer of its own interval and the one the server wants
C12-19 1.1-1.2 MUST         It expects data in the longer of the server's interval and the one it wants
C12-20 1.1-1.2 MUST         A 0 on either side means none in that direction
C12-21 1.1-1.2 MUST         Frames count as heart-beats: there is something within each interval
C12-22 1.2     MUST         With nothing to say the client sends a line end
C12-23 1.1-1.2 MUST         Every octet received counts, also in the middle of a frame
C12-24 1.1-1.2 MAY          After an interval of silence the far end may be taken for dead
C12-25 1.1-1.2 SHOULD       A margin is allowed for
C12-26 1.0-1.2 MUST         SEND has destination
C12-27 1.0-1.2 MAY          SEND may have transaction, and headers of the user's
C12-28 1.0-1.2 MUST         A destination is any text, and is not touched
C12-29 1.0-1.2 MAY          Any frame but CONNECT may have a receipt of any value
C12-30 1.0-1.2 MUST         A RECEIPT is matched by receipt-id, unescaped, in any order
C12-31 1.2     MUST         A RECEIPT confirms its own frame, and of those before it only that they arrived
C12-32 1.0-1.2 MUST         SUBSCRIBE has destination
C12-33 1.1-1.2 MUST         SUBSCRIBE has id
C12-34 1.2     MUST         No two open subscriptions of a connection have the same id
C12-35 1.1-1.2 MUST         ack is auto, client or client-individual, and auto where it is not said
C12-36 1.1-1.2 MUST         In mode client an ACK covers all messages before it on that subscription
C12-37 1.2     SHOULD       A message that could not be handled is refused with NACK
C12-38 1.1-1.2 MUST         In mode client-individual ACK and NACK are for one message
C12-39 1.0-1.2 MAY          In mode auto no ACK is sent
C12-40 1.2     MUST         ACK and NACK have as id what the MESSAGE has as ack
C11-41 1.1     MUST         They have subscription and message-id
C10-42 1.0     MUST         ACK has message-id, and there is no NACK
C12-43 1.0-1.2 MAY          ACK and NACK may have transaction
C12-44 1.0-1.2 MUST         What an ACK names goes back octet for octet, whatever is in it
C12-45 1.1-1.2 MUST         UNSUBSCRIBE has the id of an open subscription
C10-46 1.0     MUST         UNSUBSCRIBE has destination, or id where SUBSCRIBE had one
C12-47 1.0-1.2 MUST         BEGIN, COMMIT and ABORT have transaction
C12-48 1.2     MUST         No two open transactions of a connection have the same id
C12-49 1.1-1.2 MUST         DISCONNECT, or the loss of the connection, aborts open transactions
C12-50 1.1-1.2 SHOULD       The end in order is DISCONNECT with a receipt, its RECEIPT, and the socket closed
C12-51 1.1-1.2 MUST NOT     Nothing is sent behind DISCONNECT
C12-52 1.2     MUST         The RECEIPT of DISCONNECT may never come
C12-53 1.1-1.2 MAY          A client may go without a word
C12-54 1.0-1.2 MUST         Messages may still come before the RECEIPT of DISCONNECT
C12-55 1.1-1.2 MUST         Messages are handed out by subscription, not by destination
C10-56 1.0     MUST         A MESSAGE without subscription is handed out by destination
C12-57 1.0-1.2 MUST         All headers of a MESSAGE reach the application
C12-58 1.2     MUST         An ERROR and the end behind it fail what was asked for, and nothing more is sent
C11-59 1.0-1.1 MAY          A connection may survive an ERROR
C12-60 1.1-1.2 SHOULD       An ERROR with receipt-id is about the frame of that receipt
C12-61 1.0-1.2 MAY          An ERROR may have no headers and no body
C12-62 1.0-1.2 MAY          Frames that no text names may be sent
C12-63 1.0-1.2 must         What is malformed or unknown ends the connection
C12-64 1.1-1.2 MAY          A message that was not acknowledged may come again over the next connection
C12-65 1.0-1.2 must         A MESSAGE for a subscription that has ended is dropped
`;

const SERVER = String.raw`
S12-01 1.2     MUST         STOMP is taken as CONNECT
S12-02 1.1-1.2 MUST         CONNECTED has version
S12-03 1.1-1.2 MUST         It is the highest that both speak, in whatever order they were offered
S12-04 1.1-1.2 MUST         No accept-version is an offer of 1.0 alone
S12-05 1.2     MUST         No version in common is an ERROR, and the end
S12-06 1.1-1.2 MAY          CONNECTED may have heart-beat, session and server
S12-07 1.1-1.2 SHOULD       A refusal says why in an ERROR, and closes
S12-08 1.1-1.2 MAY          An unknown host may be taken or refused
S12-09 1.1-1.2 must         So may a CONNECT without host
S12-10 1.0-1.2 must         A frame before CONNECT is an ERROR, and does nothing
S12-11 1.0-1.2 must         A second CONNECT is an ERROR
S12-12 1.0-1.2 must         So is a frame that only servers send
S12-13 1.1-1.2 MUST         CONNECT is not unescaped, and CONNECTED not escaped
S12-14 1.1-1.2 MUST         No heart-beat header is the same as 0,0
S12-15 1.1-1.2 MUST         Intervals are agreed on as by the client, seen from the other end
S12-16 1.1-1.2 MUST         A heart-beat header that is not two whole numbers is refused
S12-17 1.1-1.2 MUST         The server sends something within each interval, a line end if there is nothing else
S12-18 1.1-1.2 SHOULD       Late data is forgiven by a margin, and every octet counts
S12-19 1.1-1.2 MUST         A SEND that cannot be done is an ERROR, and the end
S12-20 1.1-1.2 MUST         The sender's headers come back with the MESSAGE
S12-21 1.1-1.2 MUST         They are written anew for the version of each receiver
S12-22 1.1-1.2 SHOULD       Of several headers of one name the first one decides
S12-23 1.0-1.2 MUST         MESSAGE has destination, and in 1.2 that of the SEND to the letter
S12-24 1.0-1.2 MUST         MESSAGE has a message-id of its own
S12-25 1.1-1.2 MUST         MESSAGE has subscription, the id of the SUBSCRIBE
S12-26 1.2     MUST         MESSAGE has ack where an ACK is awaited
S12-27 1.1-1.2 MUST         A sender cannot forge the server's headers
S12-28 1.1-1.2 SHOULD       MESSAGE has the content-length that is right, and the sender's content-type
S12-29 1.1-1.2 should       receipt and transaction of the SEND are not passed on
S12-30 1.1-1.2 MUST         A SUBSCRIBE that cannot be done is an ERROR, also for want of destination or id
S12-31 1.2     must         So is one with an id that is open
S12-32 1.1-1.2 MUST         ack is auto where it is not said, and nothing but the three modes
S12-33 1.1-1.2 MUST         auto: a message is delivered once it was sent
S12-34 1.1-1.2 MUST         client: ACK settles all before it on the same subscription, and on no other
S12-35 1.1-1.2 MUST NOT     client-individual: ACK and NACK settle no earlier message
S12-36 1.1-1.2 MAY          What a lost connection had not acknowledged may go to another
S12-37 1.1-1.2 MUST         NACK says "not consumed" of one message, or in mode client of all before it, too
S12-38 1.2     MUST         ACK and NACK are read from id
S11-39 1.1     MUST         They are read from subscription and message-id together
S10-40 1.0     MUST         ACK is read from message-id, and NACK is unknown
S12-41 1.0-1.2 should       An ACK for what does not wait for one is an ERROR
S12-42 1.0-1.2 MUST         After UNSUBSCRIBE there are no more messages
S12-43 1.1-1.2 must         UNSUBSCRIBE without id, or with one that is not open, is an ERROR
S10-44 1.0     MUST         UNSUBSCRIBE takes destination or id
S12-45 1.0-1.2 MUST         Each receipt is answered once, with the same text, when its frame is done with
S12-46 1.2     MUST         A RECEIPT says that all frames before it were read
S12-47 1.0-1.2 MUST         RECEIPT has no body
S12-48 1.1-1.2 MUST         A frame that failed gets no RECEIPT but an ERROR, with receipt-id
S12-49 1.0-1.2 MUST         What is in a transaction happens at COMMIT, all of it
S12-50 1.0-1.2 MUST         ABORT drops it, and messages can be acknowledged again
S12-51 1.0-1.2 must         A transaction that is unknown, unnamed or open already is an ERROR
S12-52 1.1-1.2 MUST         DISCONNECT, or the loss of the connection, aborts open transactions
S12-53 1.1-1.2 MUST         DISCONNECT is answered with its RECEIPT, then the end
S12-54 1.2     SHOULD       Frames that had arrived are done, though their client has gone
S12-55 1.2     MUST         Behind an ERROR is the end, and what still comes does nothing
S12-56 1.0-1.2 SHOULD       ERROR has message, and its body content-length and content-type
S12-57 1.1-1.2 MAY          Unknown commands may be answered with ERROR
S12-58 1.1-1.2 MUST         An undefined escape is an ERROR and the end, and its frame does nothing
S12-59 1.1-1.2 MAY          Over a limit is an ERROR, and the end, before the memory is spent
S12-60 1.1-1.2 MUST         Clients that come and go leave nothing behind
S12-61 1.2     SHOULD       The end waits a little, so that the last frame can be read
S12-62 1.2     MUST         A 1.2 client may end its lines with CRLF; the server writes LF
S12-63 1.0-1.2 MUST         A destination is any text, and means only what the server says it means
S10-64 1.0     MAY          SUBSCRIBE may have a selector
S12-65 1.0-1.2 MAY          Headers that the server does not know are no errors
S12-66 1.2     MAY          A server may add to headers on their way
`;

/** All rows, in the order of their ids within each part. */
export const ROWS: readonly Row[] = [
  ...read(FRAMING, ["client", "broker"]),
  ...read(CLIENT, ["client"]),
  ...read(SERVER, ["broker"]),
];

/** The rows and sides that have no test of their own, and why. */
export const NOT_TESTED: Readonly<Record<string, string>> = {
  "F10-17 client": "a thing of servers",
  "C12-03 client": "not taken: it says CONNECT, which every broker knows",
  "S12-66 broker": "not taken: the sender's headers come back as they were, or not at all",
};

/** What has to be said of rows beside whether they pass. */
export const REMARKS: Readonly<Record<string, string>> = {
  "F11-03": "but for the lines of CONNECT and CONNECTED, see F12-45",
  "F12-16": "one that came is dropped in 1.0, and where there are only line ends in it: see AMB-17",
  "F12-43": "`maxHeaders`, `maxHeaderBytes`, `maxBodyBytes`",
  "C12-07": "the path of the URL or the option `host`; else `/`, which is how RabbitMQ names its default",
  "C12-16": "`server` is handed over whole",
  "C12-35": "1.0 has no `client-individual`, and it is refused there",
  "C12-58": "it is the broker who closes: see AMB-01",
  "C12-62": "by `sendFrame`",
  "S12-08": "taken: there are no virtual hosts",
  "S12-09": "taken",
  "S12-30": "1.0 needs no id",
  "S12-37": "they go back to their place in the queue, five times at most",
  "S10-64": "refused in all versions: to ignore one would deliver what nobody asked for",
  "S12-60": "over memory here; `tests/embedded_broker/disconnect_test.ts` has it over TCP",
  "S12-61": "over memory here; `tests/embedded_broker/disconnect_test.ts` has it over TCP",
};

function read(block: string, sides: readonly Side[]): Row[] {
  return block.trim().split("\n").map((line) => {
    const [, id, versions, level, requirement] = /^(\S+) +(\S+) +(MUST NOT|\S+) +(.+)$/.exec(line) ?? [];
    if (requirement === undefined) throw new TypeError(`Cannot read row: ${line}`);
    return { id: id!, versions: versions!.replace("-", " to "), level: level!, requirement, sides };
  });
}
