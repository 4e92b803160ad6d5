/**
 * What this project chose, and why, where the STOMP specifications are silent or brokers read them differently.
 *
 * @module
 */

/** A point that can be read in more than one way. */
export interface OpenPoint {
  /** The id, for example `AMB-01`. */
  readonly id: string;
  /** The unclear point. */
  readonly question: string;
  /** The choice made here, and its reason. */
  readonly choice: string;
}

const POINTS = `
AMB-01 | Does ERROR end the connection? | The broker closes after every ERROR. The client continues until the broker closes, because RabbitMQ and ActiveMQ keep the connection after most errors; calls that wait for an answer reject
AMB-02 | How is a malformed frame answered? | The broker sends ERROR, then closes. The client has no frame to answer with, so it closes without one, and never looks for a next frame after the fault
AMB-03 | receipt-id on ERROR | The broker writes it. The client rejects that call alone; without it, the client rejects all calls that wait, as any of them may be meant
AMB-04 | Unescaping CONNECT | Neither side does, as the specifications say. Brokers that do misread a passcode with a backslash
AMB-05 | CRLF before 1.2 | Accepted in 1.2, and for CONNECT, STOMP and CONNECTED in all versions; in 1.0 and 1.1 a CR belongs to the value. From a client whose CONNECT line ended in CRLF, the broker accepts it in each frame whose command line ends in CRLF, for people who type frames by hand. Both sides write LF
AMB-06 | The escape for CR in 1.1 | Fatal when read. In 1.1 a CR is not written either, escaped or bare, because the escape is undefined and a bare CR gets lost on the way: the encoder refuses the frame
AMB-07 | Undefined escapes | Fatal, as the specifications say: a guess would change what an id says
AMB-08 | Escapes in 1.0 | None, in either direction
AMB-09 | Escapes in header names | Read and written as in values
AMB-10 | Spaces around values | In 1.0, spaces before a value are dropped, and spaces on both sides of content-length; from 1.1 on they are data
AMB-11 | Is a backslash escaped? | Yes, or what is written could not be read back
AMB-12 | Escapes in STOMP | None: it is CONNECT by another name
AMB-13 | A header that is not UTF-8 | Malformed: with U+FFFD in place of bytes, two ids could become one
AMB-14 | content-length on commands other than SEND | It counts on all of them, or a NUL too early would be taken for the end
AMB-15 | content-length that is not a number | Malformed, because the end of the frame is then unknown; a value that is negative, signed, padded or longer than 15 digits is not a number
AMB-16 | NUL between frames | Malformed: no command begins with it
AMB-17 | A body on a frame that has none | Dropped in 1.0, and in all versions if it contains only line ends, which old clients write; otherwise malformed, because it may be a frame that was lost
AMB-18 | Several headers of one name | The first one counts, the others are not kept
AMB-19 | host is missing or unknown | The client always sends one. The broker has no virtual hosts and ignores it
AMB-20 | Spaces in accept-version | The client writes none. The broker tolerates them; otherwise a slip of the pen would select an old version
AMB-21 | No common version | The broker sends ERROR with version and content-type, and closes
AMB-22 | A frame before CONNECT | The broker sends ERROR and closes; a client that sends nothing is disconnected after connectTimeout
AMB-23 | A second CONNECT | ERROR, and the end of the connection: it would be unclear which of the two applies
AMB-24 | receipt on CONNECT | The client refuses the option. The broker ignores the header: CONNECTED is the answer
AMB-25 | When heart-beats are sent, and missed | Sent after half the interval, as some brokers allow no delay at all; missed after two intervals, or after one interval and a second if that is longer. 1.0 has none, whatever its headers say
AMB-26 | A heart-beat header that is not a pair of numbers | The broker sends ERROR and closes, the client closes the connection: there is no schedule to follow
AMB-27 | SUBSCRIBE without id from 1.1 on | ERROR, and the end of the connection. The client always sends one, in 1.0 as well, so that messages come with subscription
AMB-28 | A subscription id that is already open | The client refuses the call, the broker sends ERROR: the two subscriptions would be indistinguishable
AMB-29 | An ack mode other than the three | ERROR, and the end of the connection: treating it as auto would lose messages
AMB-30 | How far a cumulative ACK reaches | To the messages of the same subscription. On RabbitMQ it covers the whole connection: client-individual is safe everywhere
AMB-31 | NACK in mode client | Cumulative, as ACK is. The messages return to their place in the queue, or are dropped with requeue:false
AMB-32 | What identifies a message in 1.2 | id, with the value of ack. If a broker sent no ack, the client uses message-id
AMB-33 | ACK for a message that does not wait for one | The client never sends it twice. The broker sends ERROR and closes: one of the two has lost count
AMB-34 | When RECEIPT comes | From the broker when the frame has been handled, in a transaction at once. The client matches by id alone. A send in a transaction does not wait for its RECEIPT, which RabbitMQ sends after COMMIT; commit() waits for it
AMB-35 | Which side closes after DISCONNECT | Both do: the broker after its RECEIPT, the client when that has arrived or its time has run out
AMB-36 | BEGIN with an open id | The client refuses the call, the broker sends ERROR: silently starting over would lose what was sent
AMB-37 | SEND without destination | The client refuses the call, the broker sends ERROR
AMB-38 | Is the destination of MESSAGE that of SEND? | The broker returns the same text. The client goes by subscription, because other brokers change it
AMB-39 | SEND with headers that the broker sets | The broker's own values win, and the sender's are dropped
AMB-40 | A line end after the NUL | The broker writes none. Both sides skip any number of them, and count them as heart-beats
AMB-41 | Is mode client cumulative in 1.0? | Yes, as in the later versions
AMB-42 | Limits | 1,000 headers, 64 KiB of headers and 128 MiB of body, for client and broker alike. The broker sends ERROR and closes; content-length alone is enough for that
AMB-43 | Unknown commands | The broker sends ERROR and closes, the client closes the connection; a command must match completely
AMB-44 | content-length as a switch between text and bytes | Written for every body, unless the option contentLength is false, which ActiveMQ reads as text; a NUL in such a body is refused
AMB-45 | Line ends before the first frame | Skipped
AMB-46 | 0 in heart-beat | Accepted. Spaces beside the numbers are accepted as well; signs and fractions are not
AMB-47 | A frame that only the other side may send | The broker sends ERROR and closes, the client closes the connection
OWN-01 | NUL in a header | Data: the grammars exclude only line ends and colons from a header
OWN-02 | A CR between frames | Part of a line end in 1.2, at the start of a connection, after CONNECT, STOMP or CONNECTED, and after a frame that was accepted with CRLF; otherwise malformed
OWN-03 | Spaces in CONNECT and CONNECTED, read before the version is known | Dropped before a value once 1.0 has been negotiated, and around version and heart-beat in CONNECTED; otherwise data, because a passcode may begin with a space
`;

/** All such points. */
export const AMBIGUOUS: readonly OpenPoint[] = POINTS.trim().split("\n").map((line) => {
  const [id, question, choice] = line.split(" | ");
  return { id: id!, question: question!, choice: choice! };
});
