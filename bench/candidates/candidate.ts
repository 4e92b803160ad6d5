/**
 * The interface through which every client is measured. Each implements it with its public API.
 *
 * @module
 */

/** The server that a client connects to. */
export interface Target {
  /** The port, on 127.0.0.1. */
  port: number;
  /** User and password. */
  login: string;
  /** Returns the destination for a message whose receipt confirms that everything before it has arrived. */
  sync(sends: number, acks: number): string;
}

/** One connected client. */
export interface Candidate {
  /** Subscribes in mode auto and receives; reads each body as text, and all headers if `readHeaders`. */
  receive(destination: string, count: number, readHeaders?: boolean): Promise<void>;
  /** Receives in mode client-individual and acknowledges each message; resolves when the peer has all ACKs. */
  receiveAndAck(destination: string, count: number): Promise<void>;
  /** Subscribes many times; resolves to a function that sends a message to `go` and receives on all subscriptions. */
  receiveMany(destinations: string[], count: number, go: string): Promise<() => Promise<void>>;
  /**
   * Sends without receipts, with the back-pressure of the client; if `withHeaders`, each as persistent and with a
   * unique `correlation-id`. Resolves when the peer has all messages.
   */
  send(destination: string, body: string, count: number, withHeaders?: boolean): Promise<void>;
  /** Sends with a receipt for each message, at most `inFlight` at a time. */
  sendWithReceipts(destination: string, body: string, count: number, inFlight: number): Promise<void>;
  /** Sends a message and waits for its echo, `count` times. */
  echo(destination: string, body: string, count: number): Promise<void>;
  /** Receives, and returns one message of every `every`. */
  keep?(destination: string, count: number, every: number, detach: boolean): Promise<unknown[]>;
  /** Closes the connection. */
  close(): void | Promise<void>;
}

/** Connects a client. */
export type Connect = (target: Target) => Promise<Candidate>;

/** The module of a client. */
export interface CandidateModule {
  /** Connects. */
  connect: Connect;
}

/** A promise for a number of events. */
export interface Countdown {
  /** Resolves after the last event. */
  done: Promise<void>;
  /** Counts one event. */
  tick(): void;
  /** Rejects. */
  fail(error: unknown): void;
}

/** Creates a promise for a number of events. */
export function countdown(count: number): Countdown {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let left = count;
  return { done: promise, tick: () => void (--left === 0 && resolve()), fail: reject };
}
