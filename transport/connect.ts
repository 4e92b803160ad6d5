/**
 * From a URL to a transport: what the URL says, which adapter can do it here, and a deadline for it.
 *
 * @module
 */
import { checkTime } from "../base/checks.ts";
import { onGiveUp } from "../base/timers.ts";
import { ConnectionTimeoutError } from "../base/errors.ts";
import type { Version } from "../codec/protocol.ts";
import { checkTlsOptions } from "./tls_options.ts";
import { addressText, type Listener, type SocketAdapter, type TlsOptions, type Transport } from "./transport.ts";

/** The schemes of a broker's address. `stomps` is another way to write `stomp+ssl`. */
export type Scheme = "stomp" | "stomp+ssl" | "ws" | "wss";

/** A broker's URL, taken apart and decoded. */
export interface ParsedAddress {
  /** How to speak with it. */
  scheme: Scheme;
  /** Host name or IP address; IPv6 without brackets. */
  hostname: string;
  /** The port: by default 61613 for `stomp`, 61614 for `stomp+ssl`, 80 for `ws`, 443 for `wss`. */
  port: number;
  /** Whether the scheme asks for TLS. */
  tls: boolean;
  /** The user, where the URL has one. */
  login?: string;
  /** The password, where the URL has one. */
  passcode?: string;
  /** The virtual host: the path without its first slash; `/` where there is no path, and for WebSockets. */
  host: string;
  /** For WebSockets, the path and the query as they go on the wire: `/stomp?x=1`. */
  path?: string;
}

/** One broker, or several to try in turn. */
export interface ParsedAddresses {
  /** In the order given; never empty. */
  addresses: ParsedAddress[];
  /** Whether to shuffle them before each round. Default `false`, other than ActiveMQ's own clients. */
  randomize: boolean;
}

const DEFAULT_PORTS: Record<Scheme, number> = { "stomp": 61613, "stomp+ssl": 61614, "ws": 80, "wss": 443 };

// deno-lint-ignore no-control-regex
const CONTROL = /[\0-\x1f\x7f]/;

const IS_FAILOVER = /^failover:/i;

const URL_PARTS = new RegExp(
  "^(?<scheme>[a-z][a-z0-9+.-]*)://" +
    "(?:(?<user>[^/?#]*)@)?" + // up to the last @, as a password may have one
    "(?<hostname>\\[[^\\]/?#]*\\]|[^:/?#]*)" +
    "(?::(?<port>[^/?#]*))?" +
    "(?<path>/[^?#]*)?" +
    "(?<rest>[?#].*)?$",
  "is",
);

/**
 * Takes one URL apart: `stomp://`, `stomp+ssl://`, `stomps://`, `ws://` or `wss://`. User, password and virtual host are
 * percent-decoded. Throws a `TypeError` that says what is wrong, and that never shows the password: it quotes no more of
 * the URL than scheme and host.
 */
export function parseUrl(url: string | URL): ParsedAddress {
  if (typeof url !== "string" && !(url instanceof URL)) throw noAddress(url);
  // Not by `URL`: for these schemes it checks little, and all that it ever says is "Invalid URL".
  const text = String(url).trim();
  if (IS_FAILOVER.test(text)) throw urlError("failover:(…)", "it stands for several brokers, where one is wanted");
  const parts = URL_PARTS.exec(text)?.groups;
  if (parts === undefined) {
    throw new TypeError(
      "Cannot parse the broker's URL: it does not have the form scheme://host:port, such as stomp://localhost:61613",
    );
  }
  const scheme = toScheme(parts["scheme"]!);
  const what = `${scheme}://${parts["hostname"]}`;
  // Other readers of URLs skip these, or take a backslash for a slash: then another host is meant than is asked.
  if (CONTROL.test(text)) {
    throw urlError(`${scheme}://…`, "it has a control character; in a user or password a line end is written as %0A");
  }
  if (/\\/.test(`${parts["user"] ?? ""}${parts["hostname"]}${parts["port"] ?? ""}`)) {
    throw urlError(
      `${scheme}://…`,
      "it has a backslash, which no host name has; in a user or password it is written as %5C",
    );
  }
  const isWebSocket = scheme === "ws" || scheme === "wss";
  const path = parts["path"] ?? "/";
  const rest = parts["rest"] ?? "";
  // A slash in a password ends what a URL calls its authority; then the wrong host would be asked, perhaps given it.
  if (`${path}${rest}`.includes("@")) {
    throw urlError(
      `${scheme}://…`,
      "an @ stands behind the host; in a user or password / ? # @ are written as %2F %3F %23 %40",
    );
  }
  if (!isWebSocket && rest !== "") throw urlError(what, "it has a query or a fragment, which means nothing here");
  if (rest.includes("#")) throw urlError(what, "it has a fragment, which means nothing here");

  const address: ParsedAddress = {
    scheme,
    hostname: toHostname(parts["hostname"]!, what),
    port: toPort(parts["port"], scheme, what),
    tls: scheme === "stomp+ssl" || scheme === "wss",
    host: isWebSocket || path === "/" ? "/" : decode(path.slice(1), what, "path"),
  };
  if (isWebSocket) address.path = path + rest;
  const user = parts["user"];
  if (user !== undefined) {
    const colon = user.indexOf(":");
    address.login = decode(colon < 0 ? user : user.slice(0, colon), what, "user");
    if (colon >= 0) address.passcode = decode(user.slice(colon + 1), what, "password");
  }
  return address;
}

/**
 * Takes apart what names one or more brokers: a URL as {@linkcode parseUrl} takes it, an array of them, or
 * `failover:(stomp://a,stomp://b)?randomize=true` as ActiveMQ writes it. Throws a `TypeError` as `parseUrl` does.
 */
export function parseUrls(input: string | URL | readonly (string | URL)[]): ParsedAddresses {
  if (typeof input !== "string" && !(input instanceof URL)) {
    if (!Array.isArray(input)) throw noAddress(input);
    if (input.length === 0) throw new TypeError("Cannot use an empty list of brokers: it needs one URL at least");
    return { addresses: input.map(parseUrl), randomize: false };
  }
  const text = String(input).trim();
  if (!IS_FAILOVER.test(text)) return { addresses: [parseUrl(text)], randomize: false };

  const parts = /^failover:(?:\/\/)?(?:\((?<inside>.*)\)(?:\?(?<query>[^)]*))?|(?<bare>[^()]*))$/is.exec(text)?.groups;
  const list = parts?.["inside"] ?? parts?.["bare"];
  if (list === undefined) throw urlError("failover:(…)", "it does not have the form failover:(url,url)?randomize=true");
  let randomize = false;
  for (const [name, value] of new URLSearchParams(parts?.["query"] ?? "")) {
    if (name !== "randomize" || !/^(true|false)$/.test(value)) {
      throw urlError("failover:(…)", "the only option is randomize, with true or false");
    }
    randomize = value === "true";
  }
  // Not at every comma: a password may have one.
  const urls = list.split(/,(?=\s*(?:[a-z][a-z0-9+.-]*:\/\/|failover:))/i);
  return { addresses: urls.map(parseUrl), randomize };
}

function noAddress(input: unknown): TypeError {
  const what = input === null ? "null" : Array.isArray(input) ? "a list in a list" : `of type ${typeof input}`;
  // As the clients of other libraries are made.
  const isOptions = typeof input === "object" && input !== null && !Array.isArray(input);
  const why = isOptions ? "it is an object, and options are the second argument" : `it is ${what}`;
  return new TypeError(
    `Cannot use the broker's address: ${why}; write the URL first: ("stomp://localhost:61613", { … })`,
  );
}

function toScheme(text: string): Scheme {
  const scheme = text.toLowerCase();
  if (scheme === "stomps") return "stomp+ssl";
  if (Object.hasOwn(DEFAULT_PORTS, scheme)) return scheme as Scheme;
  throw urlError(`${scheme}://…`, "the schemes are stomp, stomp+ssl, stomps, ws, wss, and failover around them");
}

function toHostname(text: string, what: string): string {
  if (text === "") throw urlError(what, "it has no host");
  // The rules for hosts are long, and `URL` knows them for http: IPv6 in its many forms, names beyond ASCII.
  const url = URL.parse(`http://${text}/`);
  // Of a % it would make the character that is meant.
  if (text.includes("%") || url === null || !/^(\[[\da-f:.]+\]|[\w.-]+)$/.test(url.hostname)) {
    throw urlError(what, "its host is not a host name");
  }
  return url.hostname.replace(/^\[|\]$/g, "");
}

function toPort(text: string | undefined, scheme: Scheme, what: string): number {
  if (text === undefined || text === "") return DEFAULT_PORTS[scheme];
  const port = Number(text);
  // Not quoted: where the host was forgotten, as in stomp://user:password, this is the password.
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw urlError(what, "its port is not a number from 1 to 65535");
  return port;
}

function decode(text: string, what: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw urlError(what, `its ${part} has a % that is not followed by the two digits of a byte of UTF-8`);
  }
}

function urlError(what: string, problem: string): TypeError {
  return new TypeError(`Cannot parse the broker's URL ${what}: ${problem}`);
}

/** The runtimes that differ in their sockets. */
export type Runtime = "deno" | "bun" | "node" | "browser";

/** The runtime that this is; what is none of the first three counts as a browser: no sockets, perhaps WebSockets. */
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

/** The adapter of this runtime, loaded once: each `import()` takes time and memory, were it the thousandth. */
async function adapterFor(what: string): Promise<SocketAdapter> {
  return adapter ??= await loadAdapter(what);
}

/** Loads the adapter of this runtime, and no other: what the others need cannot be loaded here. */
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

/** How {@linkcode openTransport} connects. */
export interface OpenTransportOptions {
  /** How TLS is done. For TLS schemes only. */
  tls?: TlsOptions | undefined;
  /** Ends the attempt; the call then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for name, TCP and TLS together. Default 10,000; 0 and `Infinity` mean no limit. */
  timeout?: number | undefined;
  /** The versions that will be offered: a WebSocket names them in its handshake. Default all. */
  versions?: readonly Version[] | undefined;
}

/**
 * Connects to one broker. Rejects with a `ConnectionError` that names host and port and keeps the cause, a
 * `ConnectionTimeoutError` when there was no connection in time, or the reason of the signal; nothing stays open then.
 * TLS options with a scheme that has no TLS are a `TypeError`: the caller expects TLS and would not have it.
 */
export async function openTransport(address: ParsedAddress, options: OpenTransportOptions = {}): Promise<Transport> {
  const { tls, signal, timeout = 10_000 } = options;
  const peer = addressText(address);
  checkTime(`connect to ${peer}`, "timeout", timeout);
  checkTls(tls, [address]);
  signal?.throwIfAborted();
  // Not AbortSignal.any: what it makes hangs on to a signal that lives as long as the client does.
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
 * Checks TLS options before anything is connected.
 *
 * @throws {TypeError} when an option is none or has a value that it cannot have, or when an address has a scheme without
 * TLS: the caller expects TLS and would not have it.
 */
export function checkTls(tls: TlsOptions | undefined, addresses: readonly ParsedAddress[]): void {
  if (tls === undefined) return;
  checkTlsOptions(tls);
  const plain = addresses.find((address) => !address.tls);
  if (plain === undefined) return;
  const other = plain.scheme === "ws" ? "wss" : "stomp+ssl";
  throw new TypeError(
    `Cannot use TLS options for ${plain.scheme}://${addressText(plain)}: its scheme has no TLS, ${other}:// has`,
  );
}

async function open(
  address: ParsedAddress,
  { tls, versions }: OpenTransportOptions,
  signal: AbortSignal,
): Promise<Transport> {
  const { scheme, hostname, port, path } = address;
  const where = { hostname, port, signal, tls: address.tls ? tls ?? {} : undefined };
  if (scheme === "ws" || scheme === "wss") {
    const { connectWebSocket } = await import("./websocket.ts");
    return await connectWebSocket({ ...where, path, versions });
  }
  return await (await adapterFor(`connect to ${addressText(address)}`)).connect(where);
}

/**
 * Listens on TCP, with the adapter of this runtime, and hands every accepted connection to `accept`. Port 0 has the
 * system choose one. Rejects with a `ConnectionError` that keeps the cause, for example when the port is taken.
 */
export async function listen(
  address: { hostname: string; port: number },
  accept: (transport: Transport) => void,
): Promise<Listener> {
  return await (await adapterFor(`listen on ${addressText(address)}`)).listen(address, accept);
}
