/**
 * What every client under test is made to do, each by its own public interface.
 *
 * @module
 */

/** Where a client connects to. */
export interface Target {
  /** The port, on 127.0.0.1. */
  port: number;
  /** User and password. */
  login: string;
  /** Where a message goes whose receipt tells that everything before it has arrived. */
  sync(sends: number, acks: number): string;
}

/** One connected client. */
export interface Candidate {
  /** Subscribes in mode auto, and takes messages; every body is read as text, and on request every header. */
  receive(destination: string, count: number, readHeaders?: boolean): Promise<void>;
  /** The same in mode client-individual; every message is acknowledged. Resolves when the far end has got that. */
  receiveAndAck(destination: string, count: number): Promise<void>;
  /** Subscribes many times; resolves to what takes messages of all of them, once a message to `go` has been sent. */
  receiveMany(destinations: string[], count: number, go: string): Promise<() => Promise<void>>;
  /**
   * Sends without receipts, waiting where the client asks for that; on request each as persistent, and with a
   * `correlation-id` of its own. Resolves when the far end has got all.
   */
  send(destination: string, body: string, count: number, withHeaders?: boolean): Promise<void>;
  /** Sends with a receipt for each message, and no more than `inFlight` of them open. */
  sendWithReceipts(destination: string, body: string, count: number, inFlight: number): Promise<void>;
  /** Sends a message and waits for its echo, again and again. */
  echo(destination: string, body: string, count: number): Promise<void>;
  /** Receives, and keeps one message in so many: what is kept. */
  keep?(destination: string, count: number, every: number, detach: boolean): Promise<unknown[]>;
  /** Gives the connection up. */
  close(): void | Promise<void>;
}

/** Connects. */
export type Connect = (target: Target) => Promise<Candidate>;

/** The module of a client. */
export interface CandidateModule {
  /** Connects. */
  connect: Connect;
}

/** A promise for a number of events. */
export interface Countdown {
  /** Resolves when all have come. */
  done: Promise<void>;
  /** One has come. */
  tick(): void;
  /** It has gone wrong. */
  fail(error: unknown): void;
}

/** Makes a promise for a number of events. */
export function countdown(count: number): Countdown {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let left = count;
  return { done: promise, tick: () => void (--left === 0 && resolve()), fail: reject };
}
