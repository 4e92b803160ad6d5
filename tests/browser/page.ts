/**
 * What runs in the browser: a page's script that opens a client, sends, receives in a loop, ends, and reports to where
 * the page came from. `bundle.ts` makes one file of it and the library.
 *
 * @module
 */
import { Stomp } from "../../mod.ts";

/** What the page has seen. */
export interface PageReport {
  /** What went wrong, where something did. */
  error?: string;
  /** The names that only other runtimes have, and that the page has all the same. */
  foreign: string[];
  /** The version of the protocol. */
  version?: string;
  /** How many messages came, in the order they were sent. */
  received: number;
  /** The text of the last of them. */
  last?: string;
  /** How many bytes the large message had when it came back. */
  large?: number;
  /** What the calls say that must fail here, by what was tried. */
  refusals: Record<string, string>;
}

/** What the page is told in its query. */
export interface PageOptions {
  /** Where the broker is. */
  url: string;
  /** A queue of its own. */
  destination: string;
  /** How many messages to send and receive. */
  count: number;
}

/** The text of a message, by its number. */
export function textOf(index: number): string {
  return `message ${index}, žluťoučký kůň 🐎`;
}

const LARGE = "0123456789".repeat(20_000);

/** As much of a certificate as is looked at before a connection is made. */
const PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

async function use({ url, destination, count }: PageOptions, report: PageReport): Promise<void> {
  const stomp = await Stomp.connect(url, { reconnect: false });
  report.version = stomp.version!;
  const messages = await stomp.subscribe(destination, { ack: "client-individual", prefetch: 20 });
  const sending = (async () => {
    for (let index = 0; index < count; index++) await stomp.send(destination, textOf(index));
    await stomp.send(destination, LARGE);
  })();
  for await (const message of messages) {
    await message.ack();
    const text = message.text();
    if (text === LARGE) {
      report.large = message.body.length;
      break;
    }
    if (text !== textOf(report.received)) throw new Error(`Expected message ${report.received}, received ${text}`);
    report.received++;
    report.last = text;
  }
  await sending;
  await stomp.disconnect();
}

async function refusal(connect: () => Promise<Stomp>): Promise<string> {
  try {
    await (await connect()).disconnect();
    return "(none)";
  } catch (error) {
    return String(error);
  }
}

/** Runs all of it. */
export async function runPage(options: PageOptions): Promise<PageReport> {
  const foreign = ["process", "Buffer", "Deno", "Bun", "require"].filter((name) => name in globalThis);
  const report: PageReport = { foreign, received: 0, refusals: {} };
  try {
    await use(options, report);
    const once = { reconnect: false } as const;
    report.refusals = {
      "a socket": await refusal(() => Stomp.connect("stomp://127.0.0.1:61613", once)),
      "TLS options": await refusal(() => Stomp.connect("wss://127.0.0.1/", { ...once, tls: { caCerts: [PEM] } })),
      "no broker": await refusal(() => Stomp.connect("ws://127.0.0.1:1/ws", once)),
    };
  } catch (error) {
    report.error = error instanceof Error ? `${error.stack ?? error}` : String(error);
  }
  return report;
}

// Only in a page: who imports this module for its types has no query.
if (globalThis.location?.search) {
  const { url = "", destination = "", count } = Object.fromEntries(new URLSearchParams(location.search));
  const report = await runPage({ url, destination, count: Number(count) });
  await fetch("/report", { method: "POST", body: JSON.stringify(report) });
}
