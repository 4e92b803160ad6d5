/**
 * What differs between the WebSockets of the runtimes: how they take TLS options, what they tell of a failure, and
 * whether they can be made to let go of a far end that does not answer. Everything else is the same in all of them, and
 * is in `transport_websocket.ts`.
 *
 * @module
 */
import type { Socket } from "node:net";
import type nodeProcess from "node:process";
import { describeSocketError } from "./socket_transport.ts";
import { ConnectionError, HandshakeRefusedError } from "../base/errors.ts";
import { addressText, type SocketAddress, type TlsOptions } from "./transport.ts";

/** A WebSocket, with what its runtime can do beside the standard. */
export interface Link {
  /** The WebSocket. */
  readonly socket: WebSocket;
  /** What stood in the way, out of the event that says that something did. */
  causeOf(event: Event): unknown;
  /** The status of the answer to the handshake, where the runtime tells. */
  readonly status?: number | undefined;
  /** Frees what the runtime lets us free, at once and without a word to the far end. Idempotent. */
  giveUp(): void;
}

/** What to open. */
export interface LinkOptions {
  /** The URL, without user and password. */
  url: string;
  /** Where it leads, and the TLS options. */
  address: SocketAddress;
  /** The subprotocols to offer. */
  protocols: string[];
}

/**
 * Begins to open a WebSocket.
 *
 * @throws {TypeError} "Cannot …", when there is a TLS option that this runtime cannot take; anything else that the
 * runtime throws.
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

function openInBrowser({ url, address, protocols }: LinkOptions): Link {
  refuseTls(
    address,
    Object.keys(address.tls ?? {}),
    "a browser trusts whom its user trusts, so add the authority there",
  );
  return plainLink(new WebSocket(url, protocols));
}

function plainLink(socket: WebSocket): Link {
  return { socket, causeOf, giveUp() {} };
}

/** Deno's WebSocket takes an HTTP client, and that authorities and a client certificate. It needs `--allow-net` only. */
async function openInDeno({ url, address, protocols }: LinkOptions): Promise<Link> {
  const { serverName, unsafelyDisableHostnameVerification, ...tls } = given(address);
  const refused = { ...(serverName !== address.hostname && { serverName }), unsafelyDisableHostnameVerification };
  refuseTls(
    address,
    Object.keys(given({ ...address, tls: refused as TlsOptions })),
    "Deno has it for stomp+ssl:// alone",
  );
  if (Object.keys(tls).length === 0) return plainLink(new WebSocket(url, protocols));
  // Deno before 2.9.6 does not reject a key that belongs to another certificate: it ends the process.
  (await import("./node.ts")).checkPem(tls);
  const client = Deno.createHttpClient(tls as Deno.CreateHttpClientOptions);
  try {
    const init = { protocols, client };
    const socket = new (WebSocket as unknown as WebSocketWith<typeof init>)(url, init);
    let open = true;
    return {
      socket,
      causeOf,
      giveUp() {
        if (open) client.close(); // a second time it would throw
        open = false;
      },
    };
  } catch (error) {
    client.close();
    throw error;
  }
}

async function openInBun({ url, address, protocols }: LinkOptions): Promise<Link> {
  const init = { protocols, ...(address.tls && { tls: await nodeTlsOptions(address, address.tls) }) };
  const socket = new (WebSocket as unknown as WebSocketWith<typeof init>)(url, init) as WebSocket & {
    terminate?(): void;
  };
  return { socket, causeOf, giveUp: () => socket.terminate?.() };
}

/**
 * Node's WebSocket is that of undici, whose events say nothing of what went wrong, and which takes TLS options from its
 * "dispatcher" alone. Node does not export undici, but keeps the dispatcher that `fetch` uses under a symbol that every
 * copy of undici shares. Ours passes everything on to that, or for TLS options to one more of its kind, and notes the
 * answer's status, the error and the socket as they pass.
 */
async function openInNode({ url, address, protocols }: LinkOptions): Promise<Link> {
  const plain = () => plainLink(new WebSocket(url, protocols));
  const shared = (globalThis as { [symbol: symbol]: unknown })[Symbol.for("undici.globalDispatcher.1")] as
    | Dispatcher
    | undefined;
  const tls = given(address);
  const wantsTls = Object.keys(tls).length > 0;
  if (typeof shared?.dispatch !== "function") {
    const way = "this WebSocket takes none; name the authority in NODE_EXTRA_CA_CERTS, or use stomp+ssl://";
    refuseTls(address, Object.keys(tls), way);
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
    dispatcher: {
      dispatch: (options: unknown, handler: object) => dispatcher.dispatch(options, listenTo(handler, note)),
    },
  };
  try {
    return {
      socket: new (WebSocket as unknown as WebSocketWith<typeof init>)(url, init),
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
    // Not undici's, then: what test frameworks put in its place, for example.
    if (wantsTls) throw error;
    return plain();
  }
}

/**
 * A dispatcher for this connection alone, with its TLS options. It tells its socket as soon as there is one: undici itself
 * keeps a socket that was given up while it connected for ten seconds more.
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
    // One for proxies, say, that somebody has put in the place of Node's own, and that wants to know more.
    if (Object.keys(given(address)).length > 0) throw error;
    return shared;
  }
}

/** Connects as undici has it. */
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
      socket.setNoDelay(true); // node:tls does not look at the option
      callback(null, socket);
    });
    socket.on("error", (error: Error) => callback(error, null)); // later ones undici hears by itself
  };
}

/** What undici calls to connect. */
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

/** A WebSocket that takes more than the standard's. */
type WebSocketWith<Init> = new (url: string, init: Init) => WebSocket;

/** Has `note` see the calls of all methods of an object. */
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

/** What `node:tls` calls the options, which Bun and undici take as well. Throws when a certificate or a key is none. */
async function nodeTlsOptions({ hostname }: SocketAddress, tls: TlsOptions): Promise<object> {
  const { tlsOptions } = await import("./node.ts");
  const options = tlsOptions(tls, hostname);
  const { process } = globalThis as unknown as { process: typeof nodeProcess };
  // Of a mistake in them, Bun's WebSocket would tell no more than that it cannot connect.
  process.getBuiltinModule("node:tls").createSecureContext(options);
  return options;
}

/** The TLS options that have a value. */
function given({ tls = {} }: SocketAddress): TlsOptions {
  return Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined && value !== false));
}

function refuseTls(address: SocketAddress, names: readonly string[], why: string): void {
  if (names.length === 0) return;
  const what = `TLS option${names.length > 1 ? "s" : ""} ${names.join(", ")}`;
  throw new TypeError(`Cannot use ${what} for wss://${addressText(address)}: ${why}`);
}

/** What an event says of its cause; in browsers that is nothing. */
function causeOf(event: Event): unknown {
  const { error, message, reason } = event as Partial<ErrorEvent & CloseEvent>;
  const told = error instanceof Error ? error.message : message || reason;
  if (!told) return new Error(NOTHING_TOLD);
  // Not with the URL that Bun puts in front: some have a token in its query.
  const text = told.replace(/^.*failed to connect to WebSocket: |^WebSocket connection to '.*' failed: /, "");
  if (text === told && error instanceof Error) return error;
  return Object.assign(new Error(text), error?.code !== undefined && { code: error.code });
}

const NOTHING_TOLD =
  "the WebSocket handshake failed, and the runtime does not tell why; a refused login (HTTP 401 or 403) looks like this";

const SUBPROTOCOL = "it speaks none of the subprotocols";

/** What the runtimes say of a handshake that failed, where it is not what they say of a socket. */
const HANDSHAKE: readonly (readonly [RegExp, string])[] = [
  [/dns error/, "host name not found"],
  [/tcp connect error/, "connection refused, or no way to the host"],
  [
    /HTTP version|HTTP\/1.1 protocol|HPE_|Invalid response/,
    "it does not speak HTTP (STOMP over TCP is stomp://, with TLS stomp+ssl://; WebSocket with TLS is wss://)",
  ],
  [/UND_ERR_SOCKET|h2 alpn|closed before message|Connection ended/, "it closed the connection"],
  [/client protocol|sent protocols|subprotocol|Protocol was not set/, SUBPROTOCOL],
];

/** The answers that refuse the login. */
const LOGIN_STATUS: Readonly<Record<number, string>> = { 401: "Unauthorized", 403: "Forbidden" };

/** The error of a handshake that failed. */
export function handshakeError(peer: string, cause: unknown, protocols: readonly string[], link?: Link): Error {
  const what = `Cannot connect to ${peer}`;
  const told = cause instanceof Error ? `${(cause as { code?: unknown }).code ?? ""} ${cause.message}` : String(cause);
  const status = link?.status ?? Number(/status code:? *(\d{3})/.exec(told)?.[1]);
  if (!(status > 0) || status === 101) {
    return new ConnectionError(`${what}: ${handshakeReason(cause, told, protocols, status)}`, { cause });
  }
  const words = LOGIN_STATUS[status];
  const reason = words === undefined
    ? `it answers HTTP ${status} and opens no WebSocket; the path may be wrong`
    : `the server answered ${status} ${words}: it refuses the login`;
  return new HandshakeRefusedError(`${what}: ${reason}`, status, { cause });
}

/** Why a handshake failed that nothing is known of but what was told, in a few words that fit behind a colon. */
function handshakeReason(cause: unknown, told: string, protocols: readonly string[], status: number): string {
  const known = HANDSHAKE.find(([pattern]) => pattern.test(told))?.[1];
  // Where all that is known is that the answer would not do, this is what is not right about it in practice.
  if (known === SUBPROTOCOL || (known === undefined && status === 101)) return `${SUBPROTOCOL} ${protocols.join(", ")}`;
  return known ?? describeSocketError(cause);
}

/** The codes of an end in order: normal, going away, none given. */
const IN_ORDER: readonly number[] = [1000, 1001, 1005];

/** Why a connection ended, out of its last event and of what was said of an error before; `undefined` when in order. */
export function closeReason({ code, reason }: CloseEvent, error: Event | undefined): Error | undefined {
  if (IN_ORDER.includes(code)) return undefined;
  const cause = error === undefined ? undefined : causeOf(error);
  const told = `${reason} ${cause instanceof Error && cause.message !== NOTHING_TOLD ? cause.message : ""}`.trim();
  if (/utf-?8/i.test(told)) {
    return new Error(
      "it sent text that is not UTF-8; for RabbitMQ to send bytes as such, set web_stomp.ws_frame = binary",
      { cause },
    );
  }
  // Browsers and Bun call an end without a word 1006, and Deno 0.
  if (code === 1006 || code === 0) return new Error("the connection broke", { cause: cause ?? told });
  const words = code === 1009 ? " (a message is too large for it)" : "";
  return new Error(`it closed with WebSocket code ${code}${words}${reason && `: ${reason}`}`, { cause });
}
