/**
 * The addresses of brokers: URLs, lists of them, and `failover:`.
 *
 * @module
 */

/** The schemes of a broker's address. `stomps` is another way to write `stomp+ssl`. */
export type Scheme = "stomp" | "stomp+ssl" | "ws" | "wss";

/** The parts of a broker's URL, decoded. */
export interface ParsedAddress {
  /** The scheme, which says how to connect: a {@linkcode Scheme}, or any other where a custom transport is given. */
  scheme: string;
  /** Host name or IP address; IPv6 without brackets. May be empty for other schemes. */
  hostname: string;
  /**
   * The port: by default 61613 for `stomp`, 61614 for `stomp+ssl`, 80 for `ws`, 443 for `wss`, and 0 for other schemes.
   */
  port: number;
  /** Whether the scheme asks for TLS. */
  tls: boolean;
  /** The user, if the URL has one. */
  login?: string;
  /** The password, if the URL has one. */
  passcode?: string;
  /** The virtual host: the path without its first slash; `/` when there is no path, for WebSockets and other schemes. */
  host: string;
  /** For WebSockets and other schemes: path and query as they go on the wire, for example `/stomp?x=1`. */
  path?: string;
}

/** The brokers to try in turn. */
export interface ParsedAddresses {
  /** In the order given; never empty. */
  addresses: ParsedAddress[];
  /** Whether to shuffle them before each round. `false` unless the URL says so, unlike in ActiveMQ's own clients. */
  randomize: boolean;
}

const DEFAULT_PORTS: Record<Scheme, number> = { "stomp": 61613, "stomp+ssl": 61614, "ws": 80, "wss": 443 };

// deno-lint-ignore no-control-regex
const CONTROL = /[\0-\x1f\x7f]/;

const IS_FAILOVER = /^failover:/i;

const URL_PARTS = new RegExp(
  "^(?<scheme>[a-z][a-z0-9+.-]*)://" +
    "(?:(?<user>[^/?#]*)@)?" + // up to the last @: a password may have one
    "(?<hostname>\\[[^\\]/?#]*\\]|[^:/?#]*)" +
    "(?::(?<port>[^/?#]*))?" +
    "(?<path>/[^?#]*)?" +
    "(?<rest>[?#].*)?$",
  "is",
);

/**
 * Returns host and port as text for messages: `localhost:61613`, `[::1]:61613`. Without a host it is the path, and never
 * the query, which may hold a ticket.
 */
export function addressText(
  { hostname, port, path }: { hostname: string; port: number; path?: string | undefined },
): string {
  if (hostname === "" && path !== undefined) return path.split("?", 1)[0]!;
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return port === 0 ? host : `${host}:${port}`;
}

/** Whether the library itself can connect to the address. Otherwise a custom transport has to. */
export function isKnownScheme({ scheme }: { readonly scheme: string }): boolean {
  return defaultPortOf(scheme) !== undefined;
}

/** Whether the address is that of a WebSocket. */
export function isWebSocketAddress({ scheme }: { readonly scheme: string }): boolean {
  return scheme === "ws" || scheme === "wss";
}

/**
 * Parses one URL: `stomp://`, `stomp+ssl://`, `stomps://`, `ws://` or `wss://`. User, password and virtual host are
 * percent-decoded.
 *
 * @param allowsAnyScheme whether the URL may have another scheme, because a custom transport knows what it means.
 * @throws {TypeError} that says what is wrong. It quotes no more of the URL than scheme and host, so never a password.
 */
export function parseUrl(url: string | URL, allowsAnyScheme = false): ParsedAddress {
  if (typeof url !== "string" && !(url instanceof URL)) throw noAddress(url);
  // Without `URL`: for these schemes it checks little, and "Invalid URL" is all that it says.
  const text = String(url).trim();
  if (IS_FAILOVER.test(text)) throw urlError("failover:(…)", "it names several brokers, and only one is wanted here");
  const parts = URL_PARTS.exec(text)?.groups;
  if (parts === undefined) {
    throw new TypeError(
      "Cannot parse the broker's URL: it does not have the form scheme://host:port, such as stomp://localhost:61613",
    );
  }
  const scheme = toScheme(parts["scheme"]!, allowsAnyScheme);
  const what = `${scheme}://${parts["hostname"]}`;
  // Other URL parsers skip these, or take a backslash for a slash, and then read another host than the one dialed here.
  if (CONTROL.test(text)) {
    throw urlError(`${scheme}://…`, "it has a control character; in a user or password write a line end as %0A");
  }
  if (/\\/.test(`${parts["user"] ?? ""}${parts["hostname"]}${parts["port"] ?? ""}`)) {
    throw urlError(`${scheme}://…`, "its host has a backslash; in a user or password write it as %5C");
  }
  const defaultPort = defaultPortOf(scheme);
  const hasPath = defaultPort === undefined || isWebSocketAddress({ scheme });
  const path = parts["path"] ?? "/";
  const rest = parts["rest"] ?? "";
  // A slash in a password ends the authority of a URL: the wrong host would be dialed, and perhaps get the password.
  if (`${path}${rest}`.includes("@")) {
    throw urlError(
      `${scheme}://…`,
      "it has an @ after the host; in a user or password write / ? # @ as %2F %3F %23 %40",
    );
  }
  if (!hasPath && rest !== "") throw urlError(what, "it has a query or a fragment, which this scheme does not use");
  if (rest.includes("#")) throw urlError(what, "it has a fragment, which this scheme does not use");

  const address: ParsedAddress = {
    scheme,
    hostname: defaultPort === undefined && parts["hostname"] === "" ? "" : toHostname(parts["hostname"]!, what),
    port: toPort(parts["port"], defaultPort ?? 0, what),
    tls: scheme === "stomp+ssl" || scheme === "wss",
    host: hasPath || path === "/" ? "/" : decode(path.slice(1), what, "path"),
  };
  if (hasPath) address.path = path + rest;
  const user = parts["user"];
  if (user !== undefined) {
    const colon = user.indexOf(":");
    address.login = decode(colon < 0 ? user : user.slice(0, colon), what, "user");
    if (colon >= 0) address.passcode = decode(user.slice(colon + 1), what, "password");
  }
  return address;
}

/**
 * Parses the addresses of one or more brokers: a URL as for {@linkcode parseUrl}, an array of them, or
 * `failover:(stomp://a,stomp://b)?randomize=true` as ActiveMQ writes it.
 *
 * @throws {TypeError} as `parseUrl` does.
 */
export function parseUrls(
  input: string | URL | readonly (string | URL)[],
  allowsAnyScheme: boolean = false,
): ParsedAddresses {
  const parse = (url: string | URL) => parseUrl(url, allowsAnyScheme);
  if (typeof input !== "string" && !(input instanceof URL)) {
    if (!Array.isArray(input)) throw noAddress(input);
    if (input.length === 0) throw new TypeError("Cannot use an empty list of brokers: it needs at least one URL");
    return { addresses: input.map(parse), randomize: false };
  }
  const text = String(input).trim();
  if (!IS_FAILOVER.test(text)) return { addresses: [parse(text)], randomize: false };

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
  // A comma in a password does not separate URLs.
  const urls = list.split(/,(?=\s*(?:[a-z][a-z0-9+.-]*:\/\/|failover:))/i);
  return { addresses: urls.map(parse), randomize };
}

function noAddress(input: unknown): TypeError {
  const what = input === null ? "null" : Array.isArray(input) ? "a list in a list" : `of type ${typeof input}`;
  // The clients of other libraries take an object of options first.
  const isOptions = typeof input === "object" && input !== null && !Array.isArray(input);
  const why = isOptions ? "it is an object, and options are the second argument" : `it is ${what}`;
  return new TypeError(
    `Cannot use the broker's address: ${why}; write the URL first: ("stomp://localhost:61613", { … })`,
  );
}

function toScheme(text: string, allowsAny: boolean): string {
  const scheme = text.toLowerCase();
  if (scheme === "stomps") return "stomp+ssl";
  if (allowsAny || defaultPortOf(scheme) !== undefined) return scheme;
  throw urlError(
    `${scheme}://…`,
    "the schemes are stomp, stomp+ssl, stomps, ws and wss, and failover:(…) for several URLs; " +
      "any other needs the option transport",
  );
}

/** Returns the port of a scheme; `undefined` when the scheme is not one of the library's. */
function defaultPortOf(scheme: string): number | undefined {
  return Object.hasOwn(DEFAULT_PORTS, scheme) ? DEFAULT_PORTS[scheme as Scheme] : undefined;
}

function toHostname(text: string, what: string): string {
  if (text === "") throw urlError(what, "it has no host");
  // `URL` knows the long rules for hosts, if the scheme is http: the forms of IPv6, names beyond ASCII.
  const url = URL.parse(`http://${text}/`);
  // It would decode a %.
  if (text.includes("%") || url === null || !/^(\[[\da-f:.]+\]|[\w.-]+)$/.test(url.hostname)) {
    throw urlError(what, "its host is not a host name");
  }
  return url.hostname.replace(/^\[|\]$/g, "");
}

function toPort(text: string | undefined, defaultPort: number, what: string): number {
  if (text === undefined || text === "") return defaultPort;
  const port = Number(text);
  // Not quoted: in a URL without a host, such as stomp://user:password, this is the password.
  if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw urlError(what, "its port is not a number from 1 to 65535");
  return port;
}

function decode(text: string, what: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw urlError(what, `its ${part} has a % without the two hexadecimal digits of a UTF-8 byte after it`);
  }
}

function urlError(what: string, problem: string): TypeError {
  return new TypeError(`Cannot parse the broker's URL ${what}: ${problem}`);
}
