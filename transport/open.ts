/**
 * From an address to a transport: which adapter can open it here, by what deadline, and with what TLS options.
 *
 * @module
 */
import { checkTime, checkType } from "../base/checks.ts";
import { onGiveUp } from "../base/timers.ts";
import { ConnectionTimeoutError } from "../base/errors.ts";
import { addressText, isKnownScheme, isWebSocketAddress, type ParsedAddress } from "./address.ts";
import { openCustom } from "./custom.ts";
import type { Listener, SocketAdapter, TlsOptions, Transport, TransportFactory } from "./transport.ts";
import type { Version } from "../codec/protocol.ts";
import { checkWebSocketOptions, type WebSocketOptions } from "./websocket_options.ts";

/** The runtimes, by the sockets they have. */
export type Runtime = "deno" | "bun" | "node" | "browser";

/** Returns the current runtime. An unknown one counts as a browser: no sockets, perhaps WebSockets. */
export function runtime(): Runtime {
  const { Deno, Bun, process } = globalThis as {
    Deno?: { version?: { deno?: string } };
    Bun?: { version?: string };
    process?: { versions?: { node?: string } };
  };
  if (Deno?.version?.deno !== undefined) return "deno";
  if (Bun?.version !== undefined) return "bun";
  return process?.versions?.node !== undefined ? "node" : "browser";
}

let adapter: SocketAdapter | undefined;

/** Returns the adapter of this runtime. It is kept: each `import()` takes time and memory, even the thousandth. */
async function adapterFor(what: string): Promise<SocketAdapter> {
  return adapter ??= await loadAdapter(what);
}

/** Loads the adapter of this runtime. Those of other runtimes import what cannot be loaded here. */
async function loadAdapter(what: string): Promise<SocketAdapter> {
  switch (runtime()) {
    case "deno":
      return (await import("./deno.ts")).denoAdapter;
    case "bun":
      return (await import("./bun.ts")).bunAdapter;
    case "node":
      return (await import("./node.ts")).nodeAdapter;
    case "browser":
      throw new TypeError(`Cannot ${what}: a browser has no TCP sockets; use ws:// or wss://`);
  }
}

/** Options of {@linkcode openTransport}. */
export interface OpenTransportOptions {
  /** How TLS is done. For schemes with TLS only. */
  tls?: TlsOptions | undefined;
  /**
   * How a WebSocket is opened and used. For `ws://` and `wss://` only.
   *
   * @default {{}}
   */
  webSocket?: WebSocketOptions | undefined;
  /**
   * Opens the connection in place of the library, in ways that the library does not have. TLS is then up to the
   * function, also for `stomp+ssl://` and `wss://`.
   *
   * @default {undefined} TCP, TLS or WebSocket, as the URL says
   */
  transport?: TransportFactory | undefined;
  /** Ends the attempt; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Milliseconds for name, TCP and TLS together; 0 and `Infinity` mean no limit.
   *
   * @default {10_000}
   */
  timeout?: number | undefined;
  /**
   * The versions to offer: a WebSocket names them in its handshake.
   *
   * @default {["1.0", "1.1", "1.2"]}
   */
  versions?: readonly Version[] | undefined;
}

/**
 * Connects to one broker. When that fails, nothing stays open.
 *
 * @throws {ConnectionError} that names host and port and keeps the cause.
 * @throws {ConnectionTimeoutError} when there was no connection in time.
 * @throws {TypeError} for TLS options with a scheme that has no TLS: the caller expects TLS and would not have it.
 * @throws the reason of the signal.
 */
export async function openTransport(address: ParsedAddress, options: OpenTransportOptions = {}): Promise<Transport> {
  const { signal, timeout = 10_000 } = options;
  const peer = addressText(address);
  checkTime(`connect to ${peer}`, "timeout", timeout);
  checkOpenOptions(options, [address]);
  signal?.throwIfAborted();
  // Not `AbortSignal.any`, whose result stays attached to a signal that lives as long as the client does.
  const attempt = new AbortController();
  const stop = onGiveUp({ signal, timeout: timeout || Infinity }, "an answer", () => {
    const late = () => new ConnectionTimeoutError(`Cannot connect to ${peer}: no answer within ${timeout} ms`);
    attempt.abort(signal?.aborted ? signal.reason : late());
  });
  try {
    return await open(address, options, attempt.signal);
  } finally {
    stop();
  }
}

/**
 * Checks the options before anything is connected.
 *
 * @param addresses those that are known.
 * @throws {TypeError} for an option that does not exist or has the wrong value, and for one that the addresses have no use
 * for: TLS options where a scheme has no TLS, so that a caller who expects TLS would not have it.
 */
export function checkOpenOptions(options: OpenTransportOptions, addresses: readonly ParsedAddress[]): void {
  const { tls, webSocket, transport } = options;
  checkType("connect", "transport", transport, "function");
  checkWebSocketOptions(webSocket, runtime() !== "browser");
  if (webSocket !== undefined && transport !== undefined) {
    throw new TypeError("Cannot use the option webSocket: the option transport opens the connection in its place");
  }
  if (tls !== undefined) checkTlsOptions(tls);
  for (const address of addresses) {
    if (tls !== undefined && !address.tls && isKnownScheme(address)) throw noTls(address);
  }
  if (webSocket !== undefined && addresses.length > 0 && !addresses.some(isWebSocketAddress)) {
    throw new TypeError("Cannot use the option webSocket: no URL is ws:// or wss://");
  }
}

function noTls(plain: ParsedAddress): TypeError {
  const other = plain.scheme === "ws" ? "wss" : "stomp+ssl";
  return new TypeError(
    `Cannot use TLS options for ${plain.scheme}://${addressText(plain)}: its scheme has no TLS, use ${other}://`,
  );
}

async function open(
  address: ParsedAddress,
  { tls, webSocket, versions, transport, timeout = 10_000 }: OpenTransportOptions,
  signal: AbortSignal,
): Promise<Transport> {
  if (transport !== undefined) {
    return await openCustom(transport, address, { signal, timeout: timeout || Infinity, tls });
  }
  const { hostname, port, path } = address;
  const where = { hostname, port, signal, tls: address.tls ? tls ?? {} : undefined };
  if (isWebSocketAddress(address)) {
    const { connectWebSocket } = await import("./websocket.ts");
    return await connectWebSocket({ ...webSocket, ...where, path, versions });
  }
  return await (await adapterFor(`connect to ${addressText(address)}`)).connect(where);
}

/**
 * Listens on TCP, and hands every accepted connection to `accept`. For port 0 the system chooses a port.
 *
 * @throws {ConnectionError} that keeps the cause, for example when the port is in use.
 */
export async function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  return await (await adapterFor(`listen on ${addressText(address)}`)).listen(address, accept);
}

/** Returns what is wrong with an option. Never quotes the value, which may be a key. */
const CHECKS: { [Name in keyof Required<TlsOptions>]: (value: unknown) => string | undefined } = {
  caCerts(value) {
    if (typeof value === "string") return "it is a string, but must be a list: write caCerts: [pem]";
    if (!Array.isArray(value)) return `it is ${typeOf(value)}, but must be a list of PEM texts`;
    return value.map(notPem).find((problem) => problem !== undefined);
  },
  cert: notPem,
  key: notPem,
  passphrase(value) {
    if (typeof value !== "string") return `it is ${typeOf(value)}, but must be text`;
    return value === "" ? "it is empty" : undefined;
  },
  serverName(value) {
    if (typeof value !== "string") return `it is ${typeOf(value)}, but must be a host name`;
    return value === "" ? "it is empty, but must be a host name" : undefined;
  },
  unsafelyDisableHostnameVerification(value) {
    return typeof value === "boolean" ? undefined : `it is ${typeOf(value)}, but must be true or false`;
  },
};

const ALWAYS_VERIFIED =
  "verification cannot be switched off; name the authority of the broker's certificate in caCerts";

/** The names that other libraries use, and what to write here. */
const FOREIGN_OPTIONS: Record<string, string> = {
  ca: "here it is caCerts, a list of PEM texts",
  caFile: "read the file and pass its text in caCerts",
  caCert: "here it is caCerts, a list of PEM texts",
  caData: "here it is caCerts, a list of PEM texts",
  certFile: "read the file and pass its text as cert",
  certChain: "here it is cert",
  certificate: "here it is cert",
  checkServerIdentity: "serverName is the name that the certificate must have",
  keyFile: "read the file and pass its text as key",
  keyPassword: "here it is passphrase",
  password: "here it is passphrase",
  pfx: "pass certificate and key as PEM texts, in cert and key",
  privateKey: "here it is key",
  rejectUnauthorized: ALWAYS_VERIFIED,
  insecure: ALWAYS_VERIFIED,
  servername: "here it is serverName",
  hostname: "here it is serverName",
};

function checkTlsOptions(tls: TlsOptions): void {
  if (typeof tls !== "object" || tls === null || Array.isArray(tls)) {
    const what = tls === null ? "null" : typeOf(tls);
    throw new TypeError(`Cannot use the option tls: it is ${what}, but must be an object; stomp+ssl:// asks for TLS`);
  }
  for (const [name, value] of Object.entries(tls)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(CHECKS, name)) {
      const hint = Object.hasOwn(FOREIGN_OPTIONS, name)
        ? FOREIGN_OPTIONS[name]
        : `the options are ${Object.keys(CHECKS).join(", ")}`;
      throw new TypeError(`Cannot use the TLS option ${name}: ${hint}`);
    }
    const problem = CHECKS[name as keyof TlsOptions](value);
    if (problem !== undefined) throw new TypeError(`Cannot use the TLS option ${name}: ${problem}`);
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const [given, missing] = tls.cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new TypeError(`Cannot use the TLS option ${given}: it needs ${missing} as well`);
  }
  if (tls.key === undefined && tls.passphrase !== undefined) {
    throw new TypeError("Cannot use the TLS option passphrase: it needs key as well");
  }
  if (tls.passphrase === undefined && /ENCRYPTED/.test(tls.key ?? "")) {
    throw new TypeError("Cannot use the TLS option key: it is encrypted, so it needs passphrase as well");
  }
}

function notPem(value: unknown): string | undefined {
  if (typeof value !== "string") return `it has ${typeOf(value)} where PEM text is wanted: pass a string`;
  return value.includes("-----BEGIN ")
    ? undefined
    : "it has no line -----BEGIN …: pass the text of the file, not its name";
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return `a ${typeof value}`;
  return ArrayBuffer.isView(value) ? "bytes" : Array.isArray(value) ? "a list" : "an object";
}
