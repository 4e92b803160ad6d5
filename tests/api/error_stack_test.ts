/** Errors have the caller in their stack, although most are created in the callback of a socket or a timer. */
import { assert, assertEquals, assertRejects } from "#assert";
import { BrokerErrorResponse, ConnectionError, type Stomp, StompError, TimeoutError } from "../../mod.ts";
import { type ClientHarness, clientTest, subscribed } from "../support/client_harness.ts";
import { runtime } from "../support/runtime.ts";
import { errorFor } from "../support/raw_server.ts";

/** How often the function that is looked for is in a stack. */
const count = (error: Error, name: string) => error.stack!.split("\n").filter((line) => line.includes(name)).length;

/** Calls from a function of that name, which has to be in the stack of the error once. */
async function fails(call: () => Promise<unknown>, type: new (...all: never[]) => StompError): Promise<void> {
  const callers = {
    async theCaller() {
      await call();
    },
  };
  const error = await assertRejects(() => callers.theCaller(), type as new () => StompError);
  assertEquals(count(error, "theCaller"), 1, error.stack);
  assert(
    error.stack!.startsWith(`${error.name}: ${error.message}`) || error.stack!.includes(error.message),
    error.stack,
  );
}

// JavaScriptCore does not look through a promise that another one is resolved with, and `send()` has nothing else: to
// make an async function of it would cost every send.
const sendTest = (name: string, fn: (harness: ClientHarness) => Promise<void>) =>
  clientTest({ name, ignore: runtime === "bun" }, fn);

sendTest("errors of `send()` have the caller in their stack", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  await fails(() => stomp.send("/q", "x", { timeout: 5 }), TimeoutError);
  await peer.frame("SEND");
  await fails(async () => await stomp.send("/q", "x", { timeout: 5 }), TimeoutError);
  await peer.frame("SEND");
  const refused = fails(() => stomp.send("/q", "x"), BrokerErrorResponse);
  await peer.write(errorFor(await peer.frame("SEND"), "no"));
  await refused;
  const lost = fails(() => stomp.send("/q", "x"), ConnectionError);
  await peer.frame("SEND");
  await peer.close();
  await lost;
});

sendTest(
  "errors of `send()` with the common timeout have the caller in their stack",
  async (harness) => {
    const { stomp } = await harness.pair({ timeout: 20 });
    await fails(() => stomp.send("/q", "x"), TimeoutError);
  },
);

sendTest("errors of many sends have the caller in the stack of each", async (harness) => {
  const { stomp } = await harness.pair({ timeout: 20 });
  async function theBatch(stomp: Stomp): Promise<unknown[]> {
    const errors = [1, 2, 3].map(async () => {
      try {
        return await stomp.send("/q", "x");
      } catch (error) {
        return error;
      }
    });
    return await Promise.all(errors);
  }
  for (const error of await theBatch(stomp)) assertEquals(count(error as Error, "theBatch"), 1, (error as Error).stack);
});

clientTest("errors of `subscribe()` have the caller in their stack", async (harness) => {
  const { stomp, peer } = await harness.pair();
  await fails(() => stomp.subscribe("/q", { timeout: 5 }), TimeoutError);
  await peer.frames(2); // SUBSCRIBE, and what takes it back
  const refused = fails(() => stomp.subscribe("/q"), BrokerErrorResponse);
  await peer.write(errorFor(await peer.frame("SUBSCRIBE"), "no"));
  await refused;
});

clientTest("errors of `request()` have the caller in their stack", async (harness) => {
  const stomp = await harness.connect((await harness.broker()).url);
  await fails(() => stomp.request("/queue/nobody", "x", { timeout: 20 }), TimeoutError);
});

clientTest("errors of `take()` have the caller in their stack", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const subscription = await subscribed(stomp, peer);
  await fails(() => subscription.take({ timeout: 5 }), TimeoutError);
  const waiting = fails(() => subscription.take(), ConnectionError);
  await peer.close();
  await waiting;
});

clientTest("errors of `take()` after the end have the caller in their stack", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false });
  const subscription = await subscribed(stomp, peer);
  await peer.close();
  await stomp.closed;
  await fails(() => subscription.take(), ConnectionError);
});

clientTest("errors of `connect()` have the caller in their stack", async (harness) => {
  const server = await harness.server();
  await fails(() => harness.client(server.url, { connectTimeout: 20 }).connect(), ConnectionError);
});

clientTest("the reason of a caller's signal keeps its stack", async (harness) => {
  const { stomp, peer } = await harness.pair();
  const reason = new Error("mine");
  const { stack } = reason;
  const giveUp = new AbortController();
  const sending = assertRejects(() => stomp.send("/q", "x", { signal: giveUp.signal }), Error, "mine");
  await peer.frame("SEND");
  giveUp.abort(reason);
  assertEquals(await sending === reason, true);
  assertEquals(reason.stack, stack);
});
