/**
 * `Simple`, also named `Client`: stompy's client for programs that only need `put` and `get`.
 *
 * @example Put and get
 * ```ts
 * import { Client } from "@x/stompy/simple";
 *
 * const stomp = new Client("localhost", 61613);
 * await stomp.connect("guest", "guest");
 * await stomp.subscribe("/queue/orders");
 * await stomp.put("an order", "/queue/orders");
 * console.log((await stomp.get()).text()); // an order
 * await stomp.disconnect();
 * ```
 *
 * @module
 */
export {
  Client,
  type GetOptions,
  type PutOptions,
  Simple,
  type SimpleSubscribeOptions,
  type SimpleUnsubscribeOptions,
} from "./api/simple.ts";
export * from "./stomp.ts";
