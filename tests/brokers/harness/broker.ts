/**
 * A real broker, started by the harness or running already.
 *
 * @module
 */
import type { Version } from "../../../codec/protocol.ts";
import type { Certificates } from "./certificates.ts";

/** A broker that the harness can start. `table.ts` has a row for each. */
export type BrokerName =
  | "rabbitmq-3.10"
  | "rabbitmq-4.0"
  | "rabbitmq-4.3"
  | "activemq-5"
  | "activemq-6"
  | "artemis"
  | "spring";

/** Brokers that differ only in their release. */
export type Family = "rabbitmq" | "activemq" | "artemis" | "spring";

/** What a test may need of a broker. Brokers that lack it do not run the test. */
export type Capability =
  /** RECEIPTs for all frames. */
  | "receipts"
  /** Messages stay until they are acknowledged. */
  | "acks"
  /** NACK. */
  | "nack"
  /** BEGIN, COMMIT and ABORT. */
  | "transactions"
  /** Queues, which keep messages for their consumers. */
  | "queues"
  /** A prefetch that counts messages. */
  | "prefetch"
  /** Each message that is delivered again says so. */
  | "redelivered"
  /** In ack mode auto, a message that has arrived never comes again. */
  | "auto once";

/** What a broker must be capable of, for tests that do not say what they need. */
export const USUAL_CAPABILITIES: readonly Capability[] = ["receipts", "acks", "nack", "transactions", "queues"];

/** All capabilities. */
export const ALL_CAPABILITIES: readonly Capability[] = [...USUAL_CAPABILITIES, "prefetch", "redelivered", "auto once"];

/** A TLS address of a broker. */
export interface TlsEndpoint {
  /** The URL. */
  url: string;
  /** The value for the option `serverName`, if it is not the host. */
  serverName?: string;
}

/** What tests know of a broker, in a form that JSON can carry. */
export interface BrokerDetails {
  /** Which broker it is. A broker that was running already has the name of its family. */
  name: BrokerName | Family;
  /** Its family. */
  family: Family;
  /** What it can do. */
  capabilities: readonly Capability[];
  /** The versions of the protocol that it speaks. */
  versions: readonly Version[];
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
  /** The key of RabbitMQ for tokens (JSON Web Tokens by HS256 for the audience `rabbitmq`), in base64url. */
  tokenKey?: string;
}

/** A broker without what its row in `table.ts` says of it. */
export type StartedBroker = Omit<RealBroker, "name" | "family" | "capabilities" | "versions">;

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
  /** Runs RabbitMQ's `rabbitmqctl` and returns its output. Other brokers do not have it. */
  ctl?(...args: string[]): Promise<string>;
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
export function detailsOf(broker: BrokerDetails): BrokerDetails {
  const { name, family, capabilities, versions, urls, username, password, caCerts, harness } = broker;
  return { name, family, capabilities, versions, urls, username, password, caCerts, ...(harness && { harness }) };
}
