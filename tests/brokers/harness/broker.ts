/**
 * A real broker, started by the harness or running already.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Certificates } from "./certificates.ts";

/** A broker that the harness can start. */
export type BrokerName = "rabbitmq" | "activemq";

/** All brokers that the harness can start. */
export const BROKER_NAMES: readonly BrokerName[] = ["rabbitmq", "activemq"];

/** A TLS address of a broker. */
export interface TlsEndpoint {
  /** The URL. */
  url: string;
  /** The value for the option `serverName`, if it is not the host. */
  serverName?: string;
}

/** What tests know of a broker, in a form that JSON can carry. */
export interface BrokerDetails {
  /** Which broker it is. */
  name: BrokerName;
  /** The URLs by transport: `stomp`, `stomp+ssl`, `ws`, `stomp+nio` and so on. */
  urls: Record<string, string>;
  /** The user in the URLs. */
  username: string;
  /** The password in the URLs. */
  password: string;
  /** The certificate authorities to trust, in PEM. */
  caCerts: string[];
  /** What only a broker that the harness started has. `undefined` for one that was running already. */
  harness?: HarnessDetails;
}

/** What the configuration of a broker that the harness started offers to special tests. */
export interface HarnessDetails {
  /** An authority that did not sign the broker's certificate, in PEM. */
  foreignCa: string;
  /** A client certificate that the broker accepts, in PEM. */
  client: { cert: string; key: string };
  /** A client certificate that the broker rejects, in PEM. */
  foreignClient: { cert: string; key: string };
  /** The address at which the broker requires a client certificate. */
  mutual: TlsEndpoint;
  /** The address at which the broker's certificate has expired. */
  expired: TlsEndpoint;
  /** The largest body that the broker accepts, in bytes. */
  maxBodyBytes: number;
  /** A user with permission to receive but not to send. */
  reader: { username: string; password: string };
}

/** A broker, with what its starter needs to control it. */
export interface RealBroker extends BrokerDetails, AsyncDisposable {
  /** The file of the authority, if any. */
  readonly caFile: string | undefined;
  /** Its process id, while it runs and was started by the harness. */
  readonly pid: number | undefined;
  /** Kills it (SIGKILL), as a power failure would. Its disk stays. */
  kill(): Promise<void>;
  /** Starts it again with the same ports and the same disk, after stopping it if it runs. */
  restart(): Promise<void>;
  /** Stops it and removes its files. Idempotent. */
  stop(): Promise<void>;
}

/** Options for starting a broker. */
export interface HarnessOptions {
  /** The largest body that the broker accepts, in bytes. Default 10 MiB. */
  maxBodyBytes?: number | undefined;
}

/** The default of `maxBodyBytes`. */
export const MAX_BODY_BYTES: number = 10 * 1024 * 1024;

/** The user of the brokers that the harness starts. */
export const USER: { username: string; password: string } = { username: "guest", password: "guest" };

/** A user with permission to receive but not to send. */
export const READER: { username: string; password: string } = { username: "reader", password: "may only read" };

/** Returns the parts of {@linkcode HarnessDetails} that come from the certificates. */
export function certificateDetails(
  { foreignCa, client, foreignClient }: Certificates,
): Pick<HarnessDetails, "foreignCa" | "client" | "foreignClient"> {
  return {
    foreignCa,
    client: { cert: client.cert, key: client.key },
    foreignClient: { cert: foreignClient.cert, key: foreignClient.key },
  };
}

/** Returns the details of a broker without what JSON cannot carry. */
export function detailsOf({ name, urls, username, password, caCerts, harness }: BrokerDetails): BrokerDetails {
  return { name, urls, username, password, caCerts, ...(harness && { harness }) };
}

/**
 * Returns the running broker that `STOMPY_RABBITMQ_URL` or `STOMPY_ACTIVEMQ_URL` names, if any: one or more URLs,
 * separated by commas, with user and password. `STOMPY_CA_FILE` names the file of its certificate authority.
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
    Promise.reject(new Error(`Cannot ${what} ${name}: it was not started by the harness`));
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
