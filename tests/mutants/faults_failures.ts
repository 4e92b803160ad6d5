/**
 * Faults in `client/failures.ts`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const FAILURES_FAULTS: readonly Fault[] = [
  {
    file: "client/failures.ts",
    name: "short sessions begin the waits from the start forever",
    from: "lasted >= STABLE_SESSION_MS || session.progress.hasFoundCulprit ? 0 : this.#shortSessions + 1;",
    to: "lasted >= STABLE_SESSION_MS || session.progress.hasFoundCulprit ? 0 : 1;",
    tests: ["client/reconnector_clock", "client/reconnector"],
  },
  {
    file: "client/failures.ts",
    name: "a second CONNECTED ends the client after three connections",
    from: "!(error instanceof UnknownBrokerResponseError) || isSecondConnected(error)",
    to: "!(error instanceof UnknownBrokerResponseError)",
    tests: ["client/failures"],
  },
  {
    file: "client/failures.ts",
    name: "a message is blamed for a second CONNECTED",
    from: "reason instanceof BrokerErrorResponse || isSecondConnected(reason)",
    to: "reason instanceof BrokerErrorResponse",
    tests: ["client/failures"],
  },
];
