/**
 * What may stand in `tls`.
 *
 * @module
 */
import type { TlsOptions } from "./transport.ts";

/** What each option has to be. Messages never quote a value: it may be a key. */
const CHECKS: { [Name in keyof Required<TlsOptions>]: (value: unknown) => string | undefined } = {
  caCerts(value) {
    if (typeof value === "string") return "it is a string, and has to be a list: write caCerts: [pem]";
    if (!Array.isArray(value)) return `it is ${typeOf(value)}, and has to be a list of PEM texts`;
    return value.map(notPem).find((problem) => problem !== undefined);
  },
  cert: notPem,
  key(value) {
    const problem = notPem(value);
    if (problem !== undefined || !/ENCRYPTED/.test(value as string)) return problem;
    return "it is encrypted with a pass phrase; decrypt it first, for example with openssl pkey -in client.key";
  },
  serverName(value) {
    if (typeof value !== "string") return `it is ${typeOf(value)}, and has to be a host name`;
    return value === "" ? "it is empty, and has to be a host name" : undefined;
  },
  unsafelyDisableHostnameVerification(value) {
    return typeof value === "boolean" ? undefined : `it is ${typeOf(value)}, and has to be true or false`;
  },
};

const NO_SWITCH = "verification cannot be switched off; name the authority of the broker's certificate in caCerts";

/** What other libraries call them, and what to write here. */
const ELSEWHERE: Record<string, string> = {
  ca: "it is called caCerts, a list of PEM texts",
  caFile: "read the file, and give its text in caCerts",
  caCert: "it is called caCerts, a list of PEM texts",
  caData: "it is called caCerts, a list of PEM texts",
  certFile: "read the file, and give its text as cert",
  certChain: "it is called cert",
  certificate: "it is called cert",
  checkServerIdentity: "serverName is the name that the certificate must have",
  keyFile: "read the file, and give its text as key",
  passphrase: "decrypt the key first, for example with openssl pkey -in client.key",
  pfx: "give certificate and key as PEM texts, in cert and key",
  privateKey: "it is called key",
  rejectUnauthorized: NO_SWITCH,
  insecure: NO_SWITCH,
  servername: "it is called serverName",
  hostname: "it is called serverName",
};

/**
 * Checks TLS options.
 *
 * @throws {TypeError} that names the option, and what to write instead.
 */
export function checkTlsOptions(tls: TlsOptions): void {
  if (typeof tls !== "object" || tls === null || Array.isArray(tls)) {
    const what = tls === null ? "null" : typeOf(tls);
    throw new TypeError(`Cannot use the option tls: it is ${what}, and has to be an object; stomp+ssl:// asks for TLS`);
  }
  for (const [name, value] of Object.entries(tls)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(CHECKS, name)) {
      const hint = Object.hasOwn(ELSEWHERE, name)
        ? ELSEWHERE[name]
        : `the options are ${Object.keys(CHECKS).join(", ")}`;
      throw new TypeError(`Cannot use the TLS option ${name}: ${hint}`);
    }
    const problem = CHECKS[name as keyof TlsOptions](value);
    if (problem !== undefined) throw new TypeError(`Cannot use the TLS option ${name}: ${problem}`);
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const [given, missing] = tls.cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new TypeError(`Cannot use the TLS option ${given}: it needs ${missing} beside it`);
  }
}

function notPem(value: unknown): string | undefined {
  if (typeof value !== "string") return `it has ${typeOf(value)} where PEM text is wanted: give it as a string`;
  return value.includes("-----BEGIN ")
    ? undefined
    : "it has no line -----BEGIN …: give the text of the file, not its name";
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return `a ${typeof value}`;
  return ArrayBuffer.isView(value) ? "bytes" : Array.isArray(value) ? "a list" : "an object";
}
