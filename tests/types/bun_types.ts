/**
 * Holds what `transport/bun.ts` says of Bun's sockets against Bun's own types. There is nothing to run: where the two
 * differ, this file does not type-check. Where Bun's types are not known, as under Deno, it says nothing.
 *
 * @module
 */
import type { BunSocket, BunSocketHandler, BunSockets } from "../../transport/bun.ts";

/** Bun, with its own types where they are known. */
type Bun = typeof globalThis extends { Bun: infer Known } ? Known : BunSockets;

/** Bun's own sockets, as `Bun.connect` gives them. */
type Socket = Bun extends { connect: (...options: never[]) => Promise<infer Known> } ? Known : BunSocket;

/** The handlers that Bun takes. */
type Handler = Bun extends { listen: (options: infer Options) => unknown }
  ? Options extends { socket: infer Known } ? Known : never
  : never;

/** `true` where the first type can stand for the second. */
type CanBe<A, B> = A extends B ? true : false;

/** All that is used of `Bun` is there. */
export const sockets: CanBe<Bun, BunSockets> = true;
/** All that is used of its sockets is there. */
export const socket: CanBe<Socket, BunSocket> = true;
/** It takes the handlers that it is given. */
export const handler: CanBe<BunSocketHandler, Handler> = true;
