/**
 * What the processes of the bench tell each other.
 *
 * @module
 */

/** What to measure. */
export interface Job {
  /** Which of the candidate's doings, or of `memory.ts`. */
  kind:
    | "receive"
    | "ack"
    | "many"
    | "send"
    | "receipts"
    | "echo"
    | "chunks" // the count is in bytes
    | "decode" // the same without a socket
    | "stream"
    | "connections"
    | "keep";
  /** Bytes of a body. Default 100. */
  size?: number;
  /** Header lines of a message that is received. Default 8. */
  headers?: number;
  /** Whose way of writing messages the load peer takes on. Default `"rabbitmq"`. */
  style?: "rabbitmq" | "activemq";
  /** Whether they are all read. Default `false`. */
  readHeaders?: boolean;
  /** Whether messages that are sent have headers of their own. Default `false`. */
  withHeaders?: boolean;
  /** Subscriptions, for `many`. */
  subscriptions?: number;
  /** Whether messages are detached before they are kept. Default `false`. */
  detach?: boolean;
  /** A queue of a real broker, which then is the far end; `ack` fills it first, and `receipts` empties it afterwards. */
  queue?: string;
  /** Messages to begin with, to get warm and to learn the pace. */
  first: number;
  /** How many are measured. Default: as many as fit into `seconds`. */
  count?: number;
  /** Seconds that the measured part should take. */
  seconds: number;
}

/** What was measured. */
export interface Measured {
  /** Messages, bytes, or whatever the job counts. */
  count: number;
  /** Seconds on the clock. */
  seconds: number;
  /** Seconds of processor time of the client's process, all threads. */
  cpu: number;
  /** Bytes of memory, for jobs that are about that. */
  bytes?: number;
}
