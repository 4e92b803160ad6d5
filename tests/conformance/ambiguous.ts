/**
 * Where the texts of STOMP are silent, or the brokers read them differently: what was chosen here, and why.
 *
 * @module
 */

/** A spot that can be read in more than one way. */
export interface Spot {
  /** For example `AMB-01`. */
  readonly id: string;
  /** What is unclear. */
  readonly question: string;
  /** What was chosen, and why. */
  readonly choice: string;
}

const SPOTS = `
AMB-01 | Does ERROR end the connection? | The broker closes after every one. The client goes on until the broker closes, because RabbitMQ and ActiveMQ keep the connection after most errors; what waits for an answer is rejected
AMB-02 | What is said of a malformed frame? | The broker says ERROR, then closes. The client closes without a word, as it has no frame to say it with, and never looks for the next frame behind the fault
AMB-03 | receipt-id on ERROR | The broker writes it. The client rejects that call alone; without it all that wait, as it may be any of them
AMB-04 | Unescaping CONNECT | Nobody does, as the texts have it. A passcode with a backslash is misread by brokers that do
AMB-05 | CRLF before 1.2 | Taken in 1.2, and for CONNECT, STOMP and CONNECTED in all versions; in 1.0 and 1.1 a CR belongs to the value. From a client whose CONNECT line ended in CRLF the broker takes it in each frame whose command line ends so, for people who type frames by hand. LF is written
AMB-06 | The escape for CR in 1.1 | Fatal when it is read. A CR is not written in 1.1 either, escaped or bare, for one is undefined and the other gets lost on the way: the encoder refuses the frame
AMB-07 | Undefined escapes | Fatal, as the texts have it: a guess would change what an id says
AMB-08 | Escapes in 1.0 | None, either way
AMB-09 | Escapes in header names | Read and written as in values
AMB-10 | Spaces around values | In 1.0 the ones before a value are dropped, and both kinds around content-length; from 1.1 on they are data
AMB-11 | Is a backslash escaped? | Yes, or what is written could not be read back
AMB-12 | Escapes in STOMP | None: it is CONNECT by another name
AMB-13 | A header that is no UTF-8 | Malformed: with U+FFFD in the place of octets, two ids could become one
AMB-14 | content-length on other commands than SEND | It counts on all, or a NUL too few would be taken for the end
AMB-15 | content-length that is no number | Malformed, as where the frame ends is then unknown; negative, signed, padded or above 15 digits is none
AMB-16 | NUL between frames | Malformed: it is the beginning of no command
AMB-17 | A body on a frame that has none | Dropped in 1.0, and in all versions when there are only line ends in it, which old clients write; else malformed, for it may be a frame that was lost
AMB-18 | Several headers of one name | The first one counts, the others are not kept
AMB-19 | host is missing or unknown | The client always sends one. The broker has no virtual hosts and does not look at it
AMB-20 | Spaces in accept-version | The client writes none. The broker forgives them, or it would choose an old version for a slip of the pen
AMB-21 | No common version | The broker says ERROR with version and content-type, and closes
AMB-22 | A frame before CONNECT | The broker says ERROR and closes; a client that says nothing is sent away after connectTimeout
AMB-23 | A second CONNECT | ERROR and the end: nobody could tell which of the two holds
AMB-24 | receipt on CONNECT | The client refuses the option. The broker ignores the header: CONNECTED is the answer
AMB-25 | When heart-beats are sent, and missed | Sent after half the interval, as some brokers allow no delay at all; missed after two intervals, or one and a second where that is longer. 1.0 has none, whatever its headers say
AMB-26 | A heart-beat that is no pair of numbers | The broker says ERROR and closes, the client gives the connection up: there is no plan to keep to
AMB-27 | SUBSCRIBE without id from 1.1 on | ERROR and the end. The client always sends one, in 1.0 as well, to get subscription back
AMB-28 | A subscription id that is open | The client refuses the call, the broker says ERROR: two subscriptions could not be told apart
AMB-29 | Another ack mode than the three | ERROR and the end: to take it for auto would lose messages
AMB-30 | How far a cumulative ACK goes | To the messages of its own subscription. RabbitMQ goes through the whole connection: client-individual is safe everywhere
AMB-31 | NACK in mode client | Cumulative, as ACK is. The messages go back to their place in the queue, or are dropped with requeue:false
AMB-32 | What names a message in 1.2 | id, with the value of ack. Where a broker sent no ack, the client is left with message-id
AMB-33 | ACK for what does not wait for one | The client never says it twice. The broker says ERROR and closes: one of the two has lost count
AMB-34 | When RECEIPT comes | From the broker when the frame is done with, in a transaction at once. The client goes by id alone, and takes no receipt for a SEND in a transaction, as RabbitMQ answers it after COMMIT
AMB-35 | Who closes after DISCONNECT | Both do: the broker behind its RECEIPT, the client when that has come or its time is over
AMB-36 | BEGIN with an open id | The client refuses the call, the broker says ERROR: to begin anew in silence would lose what was sent
AMB-37 | SEND without destination | The client refuses the call, the broker says ERROR
AMB-38 | Is the destination of MESSAGE that of SEND? | The broker gives back the same text. The client goes by subscription, because others do not
AMB-39 | SEND with headers of the broker's names | The broker's own values win, and the sender's are dropped
AMB-40 | A line end behind the NUL | The broker writes none. Both skip any number of them, and count them as signs of life
AMB-41 | Is mode client cumulative in 1.0? | Yes, as in the later texts
AMB-42 | Limits | 1,000 headers and 64 KiB of them, 128 MiB of body, for client and broker alike. The broker says ERROR and closes, and content-length alone is enough for it
AMB-43 | Unknown commands | The broker says ERROR and closes, the client gives the connection up; a command is matched whole
AMB-44 | content-length as a switch between text and bytes | Written for every body, unless the option contentLength is false, which ActiveMQ takes for text; then a NUL in the body is refused
AMB-45 | Line ends before the first frame | Skipped
AMB-46 | 0 in heart-beat | Taken; so are spaces beside the numbers, signs and fractions are not
AMB-47 | A frame of the wrong side | The broker says ERROR and closes, the client gives the connection up
OWN-01 | NUL in a header | Data: the grammars leave line ends and colons out of a header, and nothing else
OWN-02 | A CR between frames | Belongs to a line end in 1.2, at the start of a connection, behind CONNECT, STOMP or CONNECTED, and behind a frame that was taken with CRLF; else malformed
OWN-03 | Spaces in CONNECT and CONNECTED, read before the version is known | Dropped before a value once 1.0 was agreed on, and around version and heart-beat in CONNECTED; else data, as a passcode may begin with one
`;

/** All such spots. */
export const AMBIGUOUS: readonly Spot[] = SPOTS.trim().split("\n").map((line) => {
  const [id, question, choice] = line.split(" | ");
  return { id: id!, question: question!, choice: choice! };
});
