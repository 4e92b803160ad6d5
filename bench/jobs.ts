/**
 * The messages between the processes of the bench.
 *
 * @module
 */

/** A measurement to make. */
export interface Job {
  /** A method of the candidate, or a job of `memory.ts`. */
  kind:
    | "receive"
    | "ack"
    | "many"
    | "send"
    | "receipts"
    | "echo"
    | "chunks" // the count is in bytes
    | "decode" // `chunks` without a socket
    | "stream"
    | "connections"
    | "keep";
  /** Bytes of a body. Default 100. */
  size?: number;
  /** Header lines of each received message. Default 8. */
  headers?: number;
  /** The broker whose messages the load peer imitates. Default `"rabbitmq"`. */
  style?: "rabbitmq" | "activemq";
  /** Whether all headers are read. Default `false`. */
  readHeaders?: boolean;
  /** Whether each sent message has individual headers. Default `false`. */
  withHeaders?: boolean;
  /** The number of subscriptions, for `many`. */
  subscriptions?: number;
  /** Whether messages are detached before they are stored, for `keep`. Default `false`. */
  detach?: boolean;
  /** A queue of a real broker; `ack` fills it before, and `receipts` drains it afterwards. */
  queue?: string;
  /** Messages of the first run, which warms up and finds the pace. */
  first: number;
  /** The number of measured messages. Default: as many as fit into `seconds`. */
  count?: number;
  /** The intended duration of the measured run, in seconds. */
  seconds: number;
}

/** The result of a measurement. */
export interface Measured {
  /** Messages, or bytes for jobs that count bytes. */
  count: number;
  /** Wall-clock seconds. */
  seconds: number;
  /** Seconds of CPU time of the client's process, all threads. */
  cpu: number;
  /** Bytes of memory, for jobs that measure it. */
  bytes?: number;
}
