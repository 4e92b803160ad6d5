/**
 * Checks the types of Bun's sockets in `transport/bun.ts` against Bun's types. There is nothing to run: a difference fails
 * the type check. Where Bun's types are missing, as under Deno, everything passes.
 *
 * @module
 */
import type { BunSocket, BunSocketHandler, BunSockets } from "../../transport/bun.ts";

/** The type of `Bun`, from Bun's types if they are available. */
type Bun = typeof globalThis extends { Bun: infer Known } ? Known : BunSockets;

/** The type of the sockets that `Bun.connect` returns. */
type Socket = Bun extends { connect: (...options: never[]) => Promise<infer Known> } ? Known : BunSocket;

/** The type of the handlers that Bun accepts. */
type Handler = Bun extends { listen: (options: infer Options) => unknown }
  ? Options extends { socket: infer Known } ? Known : never
  : never;

/** `true` if the first type is assignable to the second. */
type IsAssignable<A, B> = A extends B ? true : false;

/** `Bun` has everything that the adapter uses. */
export const sockets: IsAssignable<Bun, BunSockets> = true;
/** Bun's sockets have everything that the adapter uses. */
export const socket: IsAssignable<Socket, BunSocket> = true;
/** Bun accepts the handlers of the adapter. */
export const handler: IsAssignable<BunSocketHandler, Handler> = true;
