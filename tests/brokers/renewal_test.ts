/** Credentials that expire: the client connects again before, and nothing is lost or handled twice. */
import { assert, assertEquals } from "#assert";
import { everywhere, take } from "./support.ts";

/** How long the credentials live. The broker knows nothing of it: it is about the connections. */
const LIFETIME_MS = 1500;

const RENEWALS = 3;

everywhere("a worker and a stream of sends outlive their credentials", {
  versions: ["1.2"],
  timeout: 40_000,
  async fn({ connect, queue, url, broker }) {
    const { username, password } = new URL(url.replace(/^[^:]+:/, "http:"));
    const login = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
    let calls = 0;
    const credentials = () => {
      calls++;
      return { ...login, expiresAt: Date.now() + LIFETIME_MS };
    };
    const stomp = await connect({ credentials });
    const [jobs, results] = [queue("jobs"), queue("results")];
    const handled = new Map<string, number>();
    const stop = new AbortController();
    const working = stomp.consume(jobs, async (job) => {
      await stomp.send(results, job.text());
      handled.set(job.text(), (handled.get(job.text()) ?? 0) + 1);
    }, { concurrency: 4, signal: stop.signal });
    const seen: string[] = [];
    const done = await stomp.subscribe(results);
    const watching = (async () => {
      for await (const { type } of stomp.status()) {
        if (type === "renewing" || type === "disconnected" || type === "reconnecting") seen.push(type);
      }
    })();
    let sent = 0;
    while (calls <= RENEWALS || !stomp.connected) {
      await stomp.send(jobs, String(sent++));
      await new Promise((resolve) => setTimeout(resolve, 5)); // a stream, not a flood
    }
    const texts = new Set<string>();
    while (texts.size < sent) texts.add((await take(done, 1))[0]!.text());
    // In mode auto, Artemis may send a message again that was on its way when the connection ended.
    if (broker.capabilities.includes("auto once")) assertEquals(done.received, sent);
    stop.abort();
    await working;
    assertEquals([...handled.values()].filter((count) => count !== 1), []);
    assert(sent > 50, `${sent} sends`);
    await stomp.disconnect();
    await watching;
    assertEquals(seen.filter((type) => type !== "renewing"), []);
    assert(seen.length >= RENEWALS, seen.join());
  },
});
