/**
 * A real broker, as the tests see it: started by the harness, or running already.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Certificates } from "./certificates.ts";

/** The brokers that there is a harness for. */
export type BrokerName = "rabbitmq" | "activemq";

/** All of them. */
export const BROKER_NAMES: readonly BrokerName[] = ["rabbitmq", "activemq"];

/** Where a broker listens, and the name to ask for in TLS where it is not the host's. */
export interface TlsEndpoint {
  /** The URL. */
  url: string;
  /** For the option `serverName`. */
  serverName?: string;
}

/** A broker as tests know it; everything in it can be written as JSON. */
export interface BrokerDetails {
  /** Which one. */
  name: BrokerName;
  /** Where it listens, by what to call the connection: `stomp`, `stomp+ssl`, `ws`, `stomp+nio` and so on. */
  urls: Record<string, string>;
  /** The user of the URLs and its password. */
  username: string;
  /** The password. */
  password: string;
  /** Authorities to trust, PEM. */
  caCerts: string[];
  /** What only a broker of the harness has. `undefined` for one that was running already. */
  harness?: HarnessDetails;
}

/** What the configuration of the harness's own brokers offers beside the usual. */
export interface HarnessDetails {
  /** An authority that has nothing to do with the broker's certificate, PEM. */
  foreignCa: string;
  /** A client's certificate that the broker accepts. */
  client: { cert: string; key: string };
  /** A client's certificate that it does not accept. */
  foreignClient: { cert: string; key: string };
  /** Where it wants a certificate of the client. */
  mutual: TlsEndpoint;
  /** Where its own certificate has expired. */
  expired: TlsEndpoint;
  /** The largest body that it takes, in bytes. */
  maxBodyBytes: number;
  /** A user that may receive, and not send. */
  reader: { username: string; password: string };
}

/** A broker of a harness, in the hands of who started it. */
export interface RealBroker extends BrokerDetails, AsyncDisposable {
  /** File of the authority, where there is one. */
  readonly caFile: string | undefined;
  /** Its process id, while it runs and is the harness's own. */
  readonly pid: number | undefined;
  /** Ends it at once, as a power failure would (SIGKILL). What is on its disk stays. */
  kill(): Promise<void>;
  /** Starts it again, with the same ports and the same disk; one that runs is stopped in order before. */
  restart(): Promise<void>;
  /** Stops it and removes all that there was of it. Idempotent. */
  stop(): Promise<void>;
}

/** What a harness is made of. */
export interface HarnessOptions {
  /** The largest body, in bytes. Default 10 MiB. */
  maxBodyBytes?: number | undefined;
  /** Told what happens, for people. */
  say?: ((line: string) => void) | undefined;
}

/** The largest body where nothing else is asked for. */
export const MAX_BODY_BYTES: number = 10 * 1024 * 1024;

/** The user and the password of the harness's brokers. */
export const USER: { username: string; password: string } = { username: "guest", password: "guest" };

/** A user that may receive, and not send. */
export const READER: { username: string; password: string } = { username: "reader", password: "may only read" };

/** The parts of {@linkcode HarnessDetails} that certificates give. */
export function certificateDetails(
  { foreignCa, client, foreignClient }: Certificates,
): Pick<HarnessDetails, "foreignCa" | "client" | "foreignClient"> {
  return {
    foreignCa,
    client: { cert: client.cert, key: client.key },
    foreignClient: { cert: foreignClient.cert, key: foreignClient.key },
  };
}

/** A broker's details without what cannot be written as JSON. */
export function detailsOf({ name, urls, username, password, caCerts, harness }: BrokerDetails): BrokerDetails {
  return { name, urls, username, password, caCerts, ...(harness && { harness }) };
}

/**
 * The broker that runs already, where `STOMPY_RABBITMQ_URL` or `STOMPY_ACTIVEMQ_URL` names one: one URL or several with
 * commas in between, with user and password. `STOMPY_CA_FILE` names the file of its authority.
 */
export function runningBroker(name: BrokerName): RealBroker | undefined {
  const { env } = process;
  const list = env[`STOMPY_${name.toUpperCase()}_URL`]?.split(",").map((url) => url.trim()).filter((url) => url !== "");
  if (list === undefined || list.length === 0) return undefined;
  const caFile = env["STOMPY_CA_FILE"];
  const urls = Object.fromEntries(
    list.map((url) => [url.slice(0, url.indexOf(":")).replace("stomps", "stomp+ssl"), url]),
  );
  const first = new URL(list[0]!.replace(/^[a-z+]+:/, "http:"));
  const cannot = (what: string) =>
    Promise.reject(new Error(`Cannot ${what} ${name}: it was running already, and is not the harness's own`));
  const stop = () => Promise.resolve();
  return {
    name,
    urls,
    username: decodeURIComponent(first.username) || USER.username,
    password: decodeURIComponent(first.password) || USER.password,
    caCerts: caFile === undefined ? [] : [readFileSync(caFile, "utf8")],
    caFile,
    pid: undefined,
    kill: () => cannot("kill"),
    restart: () => cannot("restart"),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
