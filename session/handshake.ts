/**
 * Handshake: CONNECT, CONNECTED and what they agree on; and the DISCONNECT frame.
 *
 * @module
 */
import { onGiveUp, type StepOptions } from "../base/timers.ts";
import {
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  TimeoutError,
  UnknownBrokerResponseError,
} from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import { maskPasscode } from "../codec/mask.ts";
import { type FrameHeaders, withoutPadding } from "../codec/headers.ts";
import { isVersion, type Version, VERSIONS } from "../codec/protocol.ts";
import {
  formatHeartbeat,
  type HeartbeatOffer,
  type HeartbeatPlan,
  negotiate,
  NO_HEARTBEAT,
  parseHeartbeat,
} from "../connection/heartbeat.ts";
import type { FrameConnection, FrameSink } from "../connection/frame_connection.ts";

/** What CONNECT says. */
export interface ConnectDetails {
  /** The virtual host: the `host` header. */
  host: string;
  /** The user: the `login` header. */
  login?: string | undefined;
  /** The password: the `passcode` header. */
  passcode?: string | undefined;
  /** The `client-id` header, which ActiveMQ needs for durable topic subscriptions. */
  clientId?: string | undefined;
  /** The versions to offer. Default all three. */
  versions?: readonly Version[] | undefined;
  /** The heart-beats to offer and to ask for. */
  heartbeat: HeartbeatOffer;
  /** Further headers of CONNECT. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Whether the transport is a WebSocket. Default `false`. */
  isWebSocket?: boolean | undefined;
}

/** What client and broker agreed on. */
export interface Agreement {
  /** The protocol version. */
  readonly version: Version;
  /** The heart-beats in each direction. */
  readonly plan: HeartbeatPlan;
  /** The headers of CONNECTED. */
  readonly connected: FrameHeaders;
}

/**
 * Sends CONNECT and waits for CONNECTED. Closes the connection when that fails.
 *
 * @param createSink creates the receiver of all that comes after CONNECTED, even in the same chunk.
 * @throws {BrokerErrorResponse} when the broker refuses.
 * @throws {ConnectionError} when the connection ends first.
 * @throws {ConnectionTimeoutError} when CONNECTED does not come in time.
 * @throws {UnknownBrokerResponseError} when the answer is not STOMP, or names a version that was not offered.
 */
export async function handshake<S extends FrameSink>(
  connection: FrameConnection,
  details: ConnectDetails,
  wait: StepOptions,
  createSink: (agreement: Agreement) => S,
): Promise<S> {
  const { peer } = connection;
  const { promise, resolve, reject } = Promise.withResolvers<S>();
  const stop = onGiveUp(wait, "CONNECTED", (error) => {
    const late = `Cannot connect to ${peer}: no CONNECTED within ${wait.total ?? wait.timeout} ms`;
    reject(error instanceof TimeoutError ? new ConnectionTimeoutError(late) : error);
  });
  try {
    connection.start({
      onFrame(frame) {
        try {
          const agreement = readAnswer(frame, details, peer);
          connection.version = agreement.version;
          const sink = createSink(agreement);
          connection.handOver(sink); // frees this closure while the connection goes on
          resolve(sink);
        } catch (error) {
          reject(error);
          connection.close(); // nothing that follows a refusal matters
        }
      },
      onEnd(error) {
        reject(
          error ?? new ConnectionError(`Cannot connect to ${peer}: the broker closed the connection before CONNECTED`),
        );
      },
    });
    connection.send(connectFrame(details));
    return await promise;
  } catch (error) {
    stop(); // before the connection closes: a timeout during that would be an unhandled rejection
    await connection.close();
    throw error;
  } finally {
    stop();
  }
}

/** Lists versions in the order of the 1.2 text. */
function listVersions(versions: readonly Version[]): string {
  return [...versions].sort().join(",");
}

const ALL_VERSIONS = listVersions(VERSIONS);

/**
 * Returns the CONNECT frame. It is CONNECT and not STOMP, which 1.0 brokers do not know, and it has no receipt:
 * CONNECTED is its answer ("Connecting" in the 1.2 text).
 */
export function connectFrame(details: ConnectDetails): Frame {
  return new Frame().buildFrame({
    command: "CONNECT",
    headers: {
      ...details.headers,
      "accept-version": details.versions === undefined ? ALL_VERSIONS : listVersions(details.versions),
      host: details.host,
      "heart-beat": formatHeartbeat(details.heartbeat),
      login: details.login,
      passcode: details.passcode,
      "client-id": details.clientId,
    },
  });
}

/** Returns the DISCONNECT frame, without the headers where the version cannot carry one of them. */
export function disconnectFrame(headers: Readonly<Record<string, string>>, version: Version): Frame {
  const frame = new Frame().buildFrame({ command: "DISCONNECT", headers });
  try {
    frame.encode(version);
    return frame;
  } catch {
    return new Frame().buildFrame({ command: "DISCONNECT" });
  }
}

/**
 * Reads the broker's answer to CONNECT.
 *
 * @throws {BrokerErrorResponse} when it is ERROR.
 * @throws {UnknownBrokerResponseError} when it is anything but a CONNECTED that matches the offer.
 */
export function readAnswer(answer: Frame, details: ConnectDetails, peer: string): Agreement {
  if (answer.command === "ERROR") {
    throw new BrokerErrorResponse(withoutPasscode(answer, details), `Cannot connect to ${peer}`);
  }
  const unknown = (what: (shown: Frame) => string) => {
    const shown = withoutPasscode(answer, details);
    return new UnknownBrokerResponseError(`Cannot connect to ${peer}: the broker ${what(shown)}`, { frame: shown });
  };
  if (answer.command !== "CONNECTED") throw unknown(({ command }) => `answered CONNECT with ${command}`);
  // 1.0 brokers pad values with spaces, and know no version header.
  const version = answer.headers["version"]?.trim() ?? "1.0";
  if (!isVersion(version) || !(details.versions ?? VERSIONS).includes(version)) {
    throw unknown(({ headers }) =>
      `chose version ${JSON.stringify(headers["version"]?.trim() ?? "1.0")}, which was not offered`
    );
  }
  const peerOffer = parseHeartbeat(answer.headers["heart-beat"]?.trim());
  if (peerOffer === undefined) {
    throw unknown(({ headers }) => `sent the heart-beat ${JSON.stringify(headers["heart-beat"])}`);
  }
  // 1.0 has no heart-beats, and its brokers may take a line end for the beginning of a command.
  if (version === "1.0") return { version, plan: NO_HEARTBEAT, connected: withoutPadding(answer.headers) };
  return { version, plan: negotiate(details.heartbeat, peerOffer), connected: answer.headers };
}

/** Returns the answer without the passcode, which a broker may echo, so that an error may keep it. */
function withoutPasscode(answer: Frame, details: ConnectDetails): Frame {
  const masked = maskPasscode(answer, connectFrame(details).headers);
  return masked ? new Frame().buildFrame(masked) : answer;
}
