/**
 * The script of the test page: connects a client, sends, receives in a loop, disconnects, and posts a report to the server
 * of the page. `bundle.ts` bundles it with the library.
 *
 * @module
 */
import { Stomp } from "../../mod.ts";

/** The report of the page. */
export interface PageReport {
  /** The error, if the page failed. */
  error?: string;
  /** Globals of other runtimes that the page should not have. */
  foreign: string[];
  /** The version of the protocol. */
  version?: string;
  /** The number of messages received in order. */
  received: number;
  /** The text of the last one. */
  last?: string;
  /** The size of the large message as received, in bytes. */
  large?: number;
  /** The errors of calls that must fail in a browser, by what was tried. */
  refusals: Record<string, string>;
}

/** The parameters in the query of the page. */
export interface PageOptions {
  /** The URL of the broker. */
  url: string;
  /** A queue that only this page uses, or `/app/hello`, which a Spring application answers on `/topic/greetings`. */
  destination: string;
  /** The number of messages to send and receive. */
  count: number;
}

/** Returns the text of a message by its number. */
export function textOf(index: number): string {
  return `message ${index}, žluťoučký kůň 🐎`;
}

const LARGE = "0123456789".repeat(20_000);

/** Asks the application of Spring's guide until it answers: there a message may overtake the subscription before it. */
async function greet(stomp: Stomp, destination: string, report: PageReport): Promise<void> {
  const greetings = await stomp.subscribe("/topic/greetings");
  while (greetings.queued === 0) {
    await stomp.send(destination, JSON.stringify({ name: "page" }));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  report.last = (await greetings.take())!.text();
  report.received = 1;
  await stomp.disconnect();
}

/** The part of a certificate that the client checks before it connects. */
const PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

async function use({ url, destination, count }: PageOptions, report: PageReport): Promise<void> {
  const stomp = await Stomp.connect(url, { reconnect: false });
  report.version = stomp.version!;
  if (destination.startsWith("/app/")) return await greet(stomp, destination, report);
  const messages = await stomp.subscribe(destination, { ack: "client-individual" });
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

/** Runs the page and returns the report. */
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

// Only in a page: modules that import this one have no query.
if (globalThis.location?.search) {
  const { url = "", destination = "", count } = Object.fromEntries(new URLSearchParams(location.search));
  const report = await runPage({ url, destination, count: Number(count) });
  await fetch("/report", { method: "POST", body: JSON.stringify(report) });
}
