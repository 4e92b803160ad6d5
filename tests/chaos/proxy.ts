/**
 * The scenario with random faults between clients and the embedded broker.
 *
 * @module
 */
import { Broker } from "../../broker/broker.ts";
import { type Fault, FaultProxy, type Random, seededRandom } from "../support/fault_proxy.ts";
import { run, type RunReport } from "./ledger.ts";

/** Returns a random fault for one connection. */
export function drawFault(random: Random): Fault {
  const direction = random() < 0.5 ? "up" : "down";
  const after = Math.floor(200 + random() ** 2 * 200_000);
  switch (Math.floor(random() * 6)) {
    case 0:
    case 1:
      return { cut: { direction, after, how: random() < 0.5 ? "fin" : "rst" } };
    case 2:
      return { silence: { direction, after } };
    case 3:
      return { delay: Math.floor(random() * 20), cut: { direction, after, how: "rst" } };
    case 4:
      return { singleBytes: true, cut: { direction, after: Math.min(after, 5000), how: "fin" } };
    default:
      return { refuse: true };
  }
}

/** Sends messages through a proxy that injects faults until the time is over, and none after that. */
export async function runProxyChaos(seed: number, count: number, seconds: number): Promise<RunReport> {
  const random = seededRandom(seed);
  await using broker = await Broker.listen();
  let isFaulty = true;
  await using proxy = await FaultProxy.listen({ port: broker.port }, () => isFaulty ? drawFault(random) : {});
  const url = `stomp://127.0.0.1:${proxy.port}`;
  return await run({
    producerUrl: url,
    consumerUrl: url,
    destination: "/queue/chaos",
    count,
    // Short heart-beats, so that a silent connection is detected soon.
    client: { heartbeat: 300, heartbeatTolerance: { floor: 300 }, connectTimeout: 2000, reconnect: { maxDelay: 200 } },
    faults: async (confirmed) => {
      const end = performance.now() + seconds * 1000;
      while (performance.now() < end && confirmed() < count) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      isFaulty = false;
      proxy.cut("rst");
    },
  });
}
