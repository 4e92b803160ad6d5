/**
 * CONNECT and CONNECTED: what is offered, and what the answer means.
 *
 * @module
 */
import { BrokerErrorResponse, UnknownBrokerResponseError } from "./errors.ts";
import { Frame } from "./frame.ts";
import { isVersion, type Version, VERSIONS } from "./headers.ts";
import { formatHeartbeat, type HeartbeatOffer, type HeartbeatPlan, negotiate, parseHeartbeat } from "./heartbeat.ts";

/** What a client says of itself. */
export interface ConnectDetails {
  /** The virtual host. */
  host: string;
  /** The user. */
  login?: string | undefined;
  /** The password. */
  passcode?: string | undefined;
  /** `client-id`, which ActiveMQ needs for durable topic subscriptions. */
  clientId?: string | undefined;
  /** The versions offered. Default all three. */
  versions?: readonly Version[] | undefined;
  /** The heart-beats offered and wanted. */
  heartbeat: HeartbeatOffer;
  /** Further headers of CONNECT. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** What was agreed on. */
export interface Agreement {
  /** The version of the session. */
  readonly version: Version;
  /** The heart-beats. */
  readonly plan: HeartbeatPlan;
}

/**
 * The CONNECT frame. It is CONNECT and not STOMP, which 1.0 brokers do not know, and it has no receipt: CONNECTED is
 * its answer ("Connecting" in the 1.2 text).
 */
export function connectFrame(details: ConnectDetails): Frame {
  const versions = details.versions ?? VERSIONS;
  return new Frame().buildFrame({
    command: "CONNECT",
    headers: {
      ...details.headers,
      "accept-version": versions.join(","),
      host: details.host,
      "heart-beat": formatHeartbeat(details.heartbeat),
      login: details.login,
      passcode: details.passcode,
      "client-id": details.clientId,
    },
  });
}

/**
 * Reads the broker's answer to CONNECT.
 *
 * @throws {BrokerErrorResponse} when it is ERROR.
 * @throws {UnknownBrokerResponseError} when it is anything but a CONNECTED that fits the offer.
 */
export function readAnswer(answer: Frame, details: ConnectDetails, peer: string): Agreement {
  if (answer.command === "ERROR") throw new BrokerErrorResponse(answer, `Cannot connect to ${peer}`);
  const unknown = (what: string) =>
    new UnknownBrokerResponseError(`Cannot connect to ${peer}: the broker ${what}`, { frame: answer });
  if (answer.command !== "CONNECTED") throw unknown(`answered CONNECT with ${answer.command}`);
  // 1.0 brokers pad values with spaces, and know no version header.
  const version = answer.headers["version"]?.trim() ?? "1.0";
  if (!isVersion(version) || !(details.versions ?? VERSIONS).includes(version)) {
    throw unknown(`chose version ${JSON.stringify(version)}, which was not offered`);
  }
  const far = parseHeartbeat(answer.headers["heart-beat"]?.trim());
  if (far === undefined) throw unknown(`sent the heart-beat ${JSON.stringify(answer.headers["heart-beat"])}`);
  // 1.0 has no heart-beats, and its brokers may take a line end for the beginning of a command.
  const plan = version === "1.0" ? { send: 0, receive: 0 } : negotiate(details.heartbeat, far);
  return { version, plan };
}
