/**
 * CONNECT and CONNECTED: what is offered, and what the answer means; and DISCONNECT.
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
  /** The headers of CONNECTED. */
  readonly connected: FrameHeaders;
}

/**
 * Says CONNECT and waits for CONNECTED. When that fails the socket is closed.
 *
 * @param enter makes what takes all that comes after CONNECTED, be it in the same chunk.
 * @throws {BrokerErrorResponse} when the broker refuses.
 * @throws {ConnectionError} when the connection ends first; a `ConnectionTimeoutError` when the time is over.
 * @throws {UnknownBrokerResponseError} when the answer is no STOMP, or a version that was not offered.
 */
export async function shakeHands<S extends FrameSink>(
  socket: FrameConnection,
  details: ConnectDetails,
  wait: StepOptions,
  enter: (agreement: Agreement) => S,
): Promise<S> {
  const { peer } = socket;
  const { promise, resolve, reject } = Promise.withResolvers<S>();
  const stop = onGiveUp(wait, "CONNECTED", (error) => {
    const late = `Cannot connect to ${peer}: no CONNECTED within ${wait.total ?? wait.timeout} ms`;
    reject(error instanceof TimeoutError ? new ConnectionTimeoutError(late) : error);
  });
  try {
    socket.start({
      onFrame(frame) {
        try {
          const agreement = readAnswer(frame, details, peer);
          socket.version = agreement.version;
          const sink = enter(agreement);
          socket.handOver(sink); // and nothing of this is kept as long as the connection lasts
          resolve(sink);
        } catch (error) {
          reject(error);
          socket.close(); // what comes behind a refusal is of no interest
        }
      },
      onEnd(error) {
        reject(
          error ?? new ConnectionError(`Cannot connect to ${peer}: the broker closed the connection before CONNECTED`),
        );
      },
    });
    socket.send(connectFrame(details));
    return await promise;
  } catch (error) {
    stop(); // before it can fire while the socket closes, when nobody waits for the promise any more
    await socket.close();
    throw error;
  } finally {
    stop();
  }
}

/** As the 1.2 text has it. */
function rising(versions: readonly Version[]): string {
  return [...versions].sort().join(",");
}

const ALL_VERSIONS = rising(VERSIONS);

/**
 * The CONNECT frame. It is CONNECT and not STOMP, which 1.0 brokers do not know, and it has no receipt: CONNECTED is
 * its answer ("Connecting" in the 1.2 text).
 */
export function connectFrame(details: ConnectDetails): Frame {
  return new Frame().buildFrame({
    command: "CONNECT",
    headers: {
      ...details.headers,
      "accept-version": details.versions === undefined ? ALL_VERSIONS : rising(details.versions),
      host: details.host,
      "heart-beat": formatHeartbeat(details.heartbeat),
      login: details.login,
      passcode: details.passcode,
      "client-id": details.clientId,
    },
  });
}

/** The DISCONNECT frame: without the headers where the version cannot carry one of them, because it has to be said. */
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
 * @throws {UnknownBrokerResponseError} when it is anything but a CONNECTED that fits the offer.
 */
export function readAnswer(answer: Frame, details: ConnectDetails, peer: string): Agreement {
  if (answer.command === "ERROR") throw new BrokerErrorResponse(toShow(answer, details), `Cannot connect to ${peer}`);
  const unknown = (what: (shown: Frame) => string) => {
    const shown = toShow(answer, details);
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
  const far = parseHeartbeat(answer.headers["heart-beat"]?.trim());
  if (far === undefined) {
    throw unknown(({ headers }) => `sent the heart-beat ${JSON.stringify(headers["heart-beat"])}`);
  }
  // 1.0 has no heart-beats, and its brokers may take a line end for the beginning of a command.
  if (version === "1.0") return { version, plan: NO_HEARTBEAT, connected: withoutPadding(answer.headers) };
  return { version, plan: negotiate(details.heartbeat, far), connected: answer.headers };
}

/** The answer as an error may keep it: a broker may echo what was said to it. */
function toShow(answer: Frame, details: ConnectDetails): Frame {
  const masked = maskPasscode(answer, connectFrame(details).headers);
  return masked ? new Frame().buildFrame(masked) : answer;
}
