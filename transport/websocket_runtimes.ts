/**
 * The differences between the WebSockets of the runtimes: how they take TLS options, what they report of a failure, and
 * whether a connection to a peer that does not answer can be freed. Everything else is in `websocket.ts`.
 *
 * @module
 */
import type { Socket } from "node:net";
import type nodeProcess from "node:process";
import { describeSocketError } from "./socket_transport.ts";
import { ConnectionError, HandshakeRefusedError } from "../base/errors.ts";
import { addressText } from "./address.ts";
import type { SocketAddress, TlsOptions } from "./transport.ts";
import { describeProtocols } from "./websocket_options.ts";

/** A WebSocket, and what its runtime can do beyond the standard. */
export interface Link {
  /** The WebSocket. */
  readonly socket: WebSocket;
  /** Returns the cause of an error or close event. */
  causeOf(event: Event): unknown;
  /** The HTTP status of the handshake, if the runtime reports it. */
  readonly status?: number | undefined;
  /** Frees what the runtime lets us free, at once and without a closing handshake. Idempotent. */
  giveUp(): void;
}

/** What to open. */
export interface LinkOptions {
  /** The URL, without user and password. */
  url: string;
  /** Host and port of the URL, and the TLS options. */
  address: SocketAddress;
  /** The subprotocols to offer. */
  protocols: string[];
  /** HTTP headers of the handshake. */
  headers: Readonly<Record<string, string>>;
}

/**
 * Starts opening a WebSocket.
 *
 * @throws {TypeError} "Cannot …", for a TLS option that this runtime cannot take.
 * @throws anything else that the runtime throws.
 */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { Deno, Bun, process } = globalThis as {
    Deno?: { createHttpClient?: unknown };
    Bun?: unknown;
    process?: { versions?: { node?: string } };
  };
  if (typeof WebSocket !== "function") {
    throw new TypeError(`Cannot connect to ${addressText(options.address)}: this runtime has no WebSocket`);
  }
  if (Deno?.createHttpClient !== undefined) return await openInDeno(options);
  if (Bun !== undefined) return await openInBun(options);
  if (process?.versions?.node !== undefined) return await openInNode(options);
  return openInBrowser(options);
}

/** The headers were refused before: see `checkWebSocketOptions`. */
function openInBrowser({ url, address, protocols }: LinkOptions): Link {
  refuseTls(
    address,
    Object.keys(address.tls ?? {}),
    "a browser has the authorities of its user, so add the authority there",
  );
  return plainLink(new WebSocket(url, protocols));
}

function plainLink(socket: WebSocket): Link {
  return { socket, causeOf, giveUp() {} };
}

/** Deno's WebSocket takes an HTTP client, which takes authorities and a client certificate. Needs only `--allow-net`. */
async function openInDeno({ url, address, protocols, headers }: LinkOptions): Promise<Link> {
  const { serverName, unsafelyDisableHostnameVerification, ...tls } = given(address);
  const refused = { ...(serverName !== address.hostname && { serverName }), unsafelyDisableHostnameVerification };
  refuseTls(
    address,
    Object.keys(given({ ...address, tls: refused as TlsOptions })),
    "Deno has it only for stomp+ssl://",
  );
  if (Object.keys(tls).length === 0) return plainLink(openWith(url, { protocols, headers }));
  // Deno before 2.9.6 does not reject a key of another certificate: it ends the process.
  const key = (await import("./node.ts")).readPem(tls);
  const { passphrase: _, ...rest } = tls;
  const client = Deno.createHttpClient({ ...rest, ...(key && { key }) } as Deno.CreateHttpClientOptions);
  try {
    const socket = openWith(url, { protocols, headers, client });
    let open = true;
    return {
      socket,
      causeOf,
      giveUp() {
        if (open) client.close(); // a second call would throw
        open = false;
      },
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

async function openInBun({ url, address, protocols, headers }: LinkOptions): Promise<Link> {
  const tls = address.tls && await nodeTlsOptions(address, address.tls);
  const socket = openWith(url, { protocols, headers, ...(tls && { tls }) }) as WebSocket & { terminate?(): void };
  return { socket, causeOf, giveUp: () => socket.terminate?.() };
}

/**
 * Node's WebSocket is that of undici, whose events do not say what went wrong, and which takes TLS options only from its
 * "dispatcher". Node does not export undici, but keeps the dispatcher of `fetch` under a symbol that every copy of undici
 * shares. The dispatcher made here passes everything on to another one of the same class, and notes the status, the error
 * and the socket on the way.
 */
async function openInNode({ url, address, protocols, headers }: LinkOptions): Promise<Link> {
  const hasHeaders = Object.keys(headers).length > 0;
  // A WebSocket that takes no headers refuses the object, so they are never dropped.
  const plain = () => plainLink(hasHeaders ? openWith(url, { protocols, headers }) : new WebSocket(url, protocols));
  const shared = (globalThis as { [symbol: symbol]: unknown })[Symbol.for("undici.globalDispatcher.1")] as
    | Dispatcher
    | undefined;
  const tls = given(address);
  const wantsTls = Object.keys(tls).length > 0;
  if (typeof shared?.dispatch !== "function") {
    const why = "this WebSocket takes none; name the authority in NODE_EXTRA_CA_CERTS, or use stomp+ssl://";
    refuseTls(address, Object.keys(tls), why);
    return plain();
  }
  let socket: Socket | undefined;
  const dispatcher = await dispatcherFor(address, shared, (connecting) => socket = connecting);
  let error: unknown;
  let status: number | undefined;
  const note = (name: string, args: unknown[]) => {
    if (/error$/i.test(name)) error ??= args.find((arg) => arg instanceof Error);
    else if (/headers$|upgrade$/i.test(name)) status ??= args.find((arg) => typeof arg === "number");
    if (/upgrade$/i.test(name)) socket = args.at(-1) as Socket;
  };
  const init = {
    protocols,
    headers,
    dispatcher: {
      dispatch: (options: unknown, handler: object) => dispatcher.dispatch(options, listenTo(handler, note)),
    },
  };
  try {
    return {
      socket: openWith(url, init),
      causeOf: (event) => error ?? causeOf(event),
      get status() {
        return status;
      },
      giveUp() {
        socket?.destroy();
        if (dispatcher !== shared) dispatcher.destroy().catch(() => {});
      },
    };
  } catch (error) {
    // Not undici's WebSocket then, but for example one of a test framework.
    if (wantsTls) throw error;
    return plain();
  }
}

/**
 * Returns a dispatcher for this connection, with its TLS options. `use` gets the socket as soon as it is made: undici itself
 * keeps a socket that was abandoned while it connected for ten more seconds.
 */
async function dispatcherFor(
  address: SocketAddress,
  shared: Dispatcher,
  use: (socket: Socket) => void,
): Promise<Dispatcher> {
  const connect = connector(address.tls && await nodeTlsOptions(address, given(address)), use);
  try {
    return new (shared.constructor as DispatcherClass)({ connect });
  } catch (error) {
    // The program has replaced Node's dispatcher, for example by one for proxies, which needs other options.
    if (Object.keys(given(address)).length > 0) throw error;
    return shared;
  }
}

/** Returns a function that connects, as undici calls it. */
function connector(options: object | undefined, use: (socket: Socket) => void): Connector {
  const { process } = globalThis as unknown as { process: typeof nodeProcess };
  const net = process.getBuiltinModule("node:net");
  const tls = process.getBuiltinModule("node:tls");
  return ({ hostname, port, protocol, httpSocket }, callback) => {
    const isTls = protocol === "https:";
    const where = { host: hostname, port: Number(port || (isTls ? 443 : 80)), noDelay: true };
    const socket = isTls
      ? tls.connect({ ...where, ...options, ALPNProtocols: ["http/1.1"], ...(httpSocket && { socket: httpSocket }) })
      : net.connect(where);
    use(socket);
    socket.once(isTls ? "secureConnect" : "connect", () => {
      socket.setNoDelay(true); // node:tls ignores the option
      callback(null, socket);
    });
    socket.on("error", (error: Error) => callback(error, null)); // undici listens for later ones itself
  };
}

/** The function that undici calls to connect. */
type Connector = (
  options: { hostname: string; port: string; protocol: string; httpSocket?: Socket },
  callback: (error: Error | null, socket: Socket | null) => void,
) => void;

/** The parts of undici's dispatcher that are used here. */
interface Dispatcher {
  dispatch(options: unknown, handler: object): boolean;
  destroy(): Promise<void>;
}

type DispatcherClass = new (options: { connect: Connector }) => Dispatcher;

/** What the WebSockets of the runtimes take beyond the standard's subprotocols. */
interface WebSocketInit extends Pick<LinkOptions, "protocols" | "headers"> {
  /** In Deno: what does TLS. */
  client?: Deno.HttpClient;
  /** In Bun: TLS options. */
  tls?: object;
  /** In Node: what connects. */
  dispatcher?: object;
}

/** Creates a WebSocket of a class that takes more options than the standard's. */
function openWith(url: string, init: WebSocketInit): WebSocket {
  return new (WebSocket as unknown as new (url: string, init: object) => WebSocket)(url, init);
}

/** Returns a proxy that reports each method call to `note`, then passes it on. */
function listenTo<T extends object>(target: T, note: (name: string, args: unknown[]) => void): T {
  return new Proxy(target, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        note(String(name), args);
        return value.apply(target, args);
      };
    },
  });
}

/** Translates TLS options for `node:tls`, Bun and undici. Throws when a certificate or the key is invalid. */
async function nodeTlsOptions({ hostname }: SocketAddress, tls: TlsOptions): Promise<object> {
  const { tlsOptions } = await import("./node.ts");
  const options = tlsOptions(tls, hostname);
  const { process } = globalThis as unknown as { process: typeof nodeProcess };
  // Finds mistakes: Bun's WebSocket would only report that it cannot connect.
  process.getBuiltinModule("node:tls").createSecureContext(options);
  return options;
}

/** Returns the TLS options that have a value. */
function given({ tls = {} }: SocketAddress): TlsOptions {
  return Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined && value !== false));
}

function refuseTls(address: SocketAddress, names: readonly string[], why: string): void {
  if (names.length === 0) return;
  const what = `TLS option${names.length > 1 ? "s" : ""} ${names.join(", ")}`;
  throw new TypeError(`Cannot use ${what} for wss://${addressText(address)}: ${why}`);
}

/** Returns the cause of an event. In browsers an event does not have it. */
function causeOf(event: Event): unknown {
  const { error, message, reason } = event as Partial<ErrorEvent & CloseEvent>;
  const words = error instanceof Error ? error.message : message || reason;
  if (!words) return new Error(UNKNOWN_CAUSE);
  // Without the URL that Bun puts in front: its query may hold a token.
  const text = words.replace(/^.*failed to connect to WebSocket: |^WebSocket connection to '.*' failed: /, "");
  if (text === words && error instanceof Error) return error;
  return Object.assign(new Error(text), error?.code !== undefined && { code: error.code });
}

const UNKNOWN_CAUSE =
  "the WebSocket handshake failed, and the runtime does not say why; a refused login (HTTP 401 or 403) looks like this";

const SUBPROTOCOL = "it speaks none of the subprotocols";
const NO_SUBPROTOCOL = "it chose a subprotocol, and none was offered";

/** What the runtimes call failures of a handshake, beside those of sockets. */
const HANDSHAKE_REASONS: readonly (readonly [RegExp, string])[] = [
  [/dns error/, "host name not found"],
  [/tcp connect error/, "connection refused, or no route to the host"],
  [
    /HTTP version|HTTP\/1.1 protocol|HPE_|Invalid response/,
    "it does not speak HTTP (STOMP over TCP is stomp://, with TLS stomp+ssl://; WebSocket with TLS is wss://)",
  ],
  [/UND_ERR_SOCKET|h2 alpn|closed before message|Connection ended/, "it closed the connection"],
  [/client protocol|sent protocols|subprotocol|Protocol was not set/, SUBPROTOCOL],
];

/** The HTTP statuses that refuse the login. */
const LOGIN_STATUS: Readonly<Record<number, string>> = { 401: "Unauthorized", 403: "Forbidden" };

/** Returns the error for a failed handshake. */
export function handshakeError(peer: string, cause: unknown, protocols: readonly string[], link?: Link): Error {
  const what = `Cannot connect to ${peer}`;
  const text = cause instanceof Error ? `${(cause as { code?: unknown }).code ?? ""} ${cause.message}` : String(cause);
  const status = link?.status ?? Number(/status code:? *(\d{3})/.exec(text)?.[1]);
  if (!(status > 0) || status === 101) {
    return new ConnectionError(`${what}: ${handshakeReason(cause, text, protocols, status)}`, { cause });
  }
  const words = LOGIN_STATUS[status];
  const reason = words === undefined
    ? `it answers HTTP ${status} and opens no WebSocket; the path may be wrong`
    : `the server answered ${status} ${words}: it refuses the login`;
  return new HandshakeRefusedError(`${what}: ${reason}`, status, { cause });
}

/** Returns why a handshake failed, in a few words that fit after a colon, when its HTTP status does not say it. */
function handshakeReason(cause: unknown, text: string, protocols: readonly string[], status: number): string {
  const known = HANDSHAKE_REASONS.find(([pattern]) => pattern.test(text))?.[1];
  // Status 101 and no known reason: in practice the subprotocol is what is missing in such an answer.
  if (known === SUBPROTOCOL || (known === undefined && status === 101)) {
    return protocols.length === 0 ? NO_SUBPROTOCOL : `${SUBPROTOCOL} ${describeProtocols(protocols)}`;
  }
  return known ?? describeSocketError(cause);
}

/** The close codes of a clean end: normal, going away, none given. */
const CLEAN_CODES: readonly number[] = [1000, 1001, 1005];

/** Returns why a connection ended, from its close event and the error event before; `undefined` after a clean end. */
export function closeReason({ code, reason }: CloseEvent, error: Event | undefined): Error | undefined {
  if (CLEAN_CODES.includes(code)) return undefined;
  const cause = error === undefined ? undefined : causeOf(error);
  const text = `${reason} ${cause instanceof Error && cause.message !== UNKNOWN_CAUSE ? cause.message : ""}`.trim();
  if (/utf-?8/i.test(text)) {
    return new Error(
      "it sent text that is not UTF-8; for RabbitMQ to send bytes as such, set web_stomp.ws_frame = binary",
      { cause },
    );
  }
  // An end without a closing handshake is 1006 in browsers and Bun, and 0 in Deno.
  if (code === 1006 || code === 0) return new Error("the connection broke", { cause: cause ?? text });
  const words = code === 1009 ? " (a message is too large for it)" : "";
  return new Error(`it closed with WebSocket code ${code}${words}${reason && `: ${reason}`}`, { cause });
}
