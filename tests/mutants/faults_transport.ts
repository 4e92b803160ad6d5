/**
 * Faults in `transport/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const TRANSPORT_FAULTS: readonly Fault[] = [
  {
    file: "transport/socket_transport.ts",
    name: "a socket whose peer ends last is kept",
    from: "    this.#endReading(undefined);\n    if (this.#writeError !== undefined) this.#free();",
    to: "    this.#endReading(undefined);",
    tests: ["transport/socket_transport"],
  },
  {
    file: "transport/socket_transport.ts",
    name: "a socket whose peer ends first is kept",
    from: "this.#writeError ??= this.#closedError();\n    if (this.#end !== undefined) this.#free();",
    to: "this.#writeError ??= this.#closedError();",
    tests: ["transport/socket_transport"],
  },
  {
    file: "transport/read_buffer.ts",
    name: "a read buffer is released twice",
    from: "this.#mayRelease = false; // the bytes before these are not the last ones that were returned",
    to: "",
    tests: ["transport/read_buffer"],
  },
  {
    file: "transport/read_buffer.ts",
    name: "heart-beats use up read buffers",
    from: "if (length <= MAX_HEARTBEAT_BYTES) return",
    to: "if (length < 0) return",
    tests: ["transport/read_buffer"],
  },
  {
    file: "transport/socket_transport.ts",
    name: "bytes overtake others that are not read yet",
    from: `return this.#state === "flowing" ? this.#sink?.readTarget?.() : undefined;`,
    to: "return this.#sink?.readTarget?.();",
    tests: ["transport/socket_transport", "transport/sockets"],
  },
  {
    file: "transport/socket_transport.ts",
    name: "the end overtakes bytes that are not read yet",
    from: `if (this.#state === "flowing") this.#endSink();`,
    to: "this.#endSink();",
    tests: ["transport/transport", "transport/sockets"],
  },
  {
    file: "transport/address.ts",
    name: "the password of a URL stays encoded",
    from: `decode(user.slice(colon + 1), what, "password")`,
    to: "user.slice(colon + 1)",
    tests: ["transport/address"],
  },
  {
    file: "transport/open.ts",
    name: "`timeout: 0` is over at once",
    from: "timeout: timeout || Infinity }",
    to: "timeout }",
    tests: ["transport/open"],
  },
  {
    file: "transport/address.ts",
    name: "a comma in a password ends a URL",
    from: "list.split(/,(?=\\s*(?:[a-z][a-z0-9+.-]*:\\/\\/|failover:))/i)",
    to: `list.split(",")`,
    tests: ["transport/address"],
  },
  {
    file: "transport/address.ts",
    name: "an @ after the host passes",
    from: 'if (`${path}${rest}`.includes("@")) {',
    to: `if (rest.includes("@")) {`,
    tests: ["transport/address"],
  },
  {
    file: "transport/websocket.ts",
    name: "a frame that was taken back is a message of line ends",
    from: "if (bytes[start] === LF) this.#sendLineEnd();\n      else ",
    to: "",
    tests: ["transport/websocket"],
  },
  {
    file: "transport/websocket_runtimes.ts",
    name: "a WebSocket that goes away counts as broken",
    from: "[1000, 1001, 1005]",
    to: "[1000, 1005]",
    tests: ["transport/websocket", "transport/websocket_runtimes"],
  },
  {
    file: "transport/websocket_runtimes.ts",
    name: "HTTP 403 is no refused login",
    from: `403: "Forbidden"`,
    to: `404: "Forbidden"`,
    tests: ["transport/websocket", "transport/websocket_runtimes"],
  },
  {
    file: "transport/open.ts",
    name: "an encrypted key passes",
    from: "if (tls.passphrase === undefined && /ENCRYPTED/.test",
    to: "if (false && /ENCRYPTED/.test",
    tests: ["transport/tls_options"],
  },
  {
    file: "transport/deno.ts",
    name: "the rest of a write that was cut is lost",
    from: "length === bytes.length ? undefined : this.#writeRest(bytes.subarray(length))",
    to: "undefined",
    tests: ["transport/transport"],
  },
  {
    file: "transport/websocket.ts",
    name: "frames are cut for a broker that reads a stream",
    from: "this.#takesStream ??= readsStream(bytes);",
    to: "",
    tests: ["transport/websocket", "client/websocket"],
  },
  {
    file: "transport/websocket.ts",
    name: "what a WebSocket receives has no limit",
    from: "if (this.#unreadBytes > this.#maxUnread) return this.#overflow();",
    to: "",
    tests: ["transport/websocket", "client/websocket"],
  },
  {
    file: "transport/node.ts",
    name: "a key of another certificate passes",
    from: "if (!certificate.checkPrivateKey(privateKey)) throw",
    to: "if (false) throw",
    tests: ["transport/connect_errors"],
  },
  {
    file: "transport/node.ts",
    name: "the certificate is checked against the host though serverName is given",
    from: "checkServerIdentity(name, certificate)",
    to: "checkServerIdentity(hostname, certificate)",
    tests: ["transport/tls"],
  },
  {
    file: "transport/deno.ts",
    name: "an expired certificate is called one of an unknown issuer",
    from: `const code = dates.to < now ? "CERT_HAS_EXPIRED" : "CERT_NOT_YET_VALID";`,
    to: `const code = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";`,
    tests: ["transport/tls"],
  },
];
