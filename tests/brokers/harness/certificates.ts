/**
 * Certificates for brokers on loopback, signed by a test authority: valid ones, and some that clients must reject.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A certificate and its key. */
export interface Certificate {
  /** The file of the certificate, in PEM. */
  certFile: string;
  /** The file of the key, in PEM. */
  keyFile: string;
  /** The certificate, in PEM. */
  cert: string;
  /** The key, in PEM. */
  key: string;
}

/** All certificates that the tests need. */
export interface Certificates {
  /** The authority, in PEM. */
  ca: string;
  /** The file of the authority. */
  caFile: string;
  /** The broker's certificate, for localhost and the addresses of loopback. */
  server: Certificate;
  /** The same, but expired at the end of 2020. */
  expired: Certificate;
  /** A client certificate. */
  client: Certificate;
  /** An authority that signed none of them, in PEM. */
  foreignCa: string;
  /** A client certificate by that authority. */
  foreignClient: Certificate;
}

/** The name under which RabbitMQ presents the expired certificate. */
export const EXPIRED_NAME = "expired.test";

/** The name under which RabbitMQ requires a client certificate. */
export const MUTUAL_NAME = "mutual.test";

/** The password of the key stores that Java needs. It protects nothing secret. */
export const STORE_PASSWORD = "changeit";

const SERVER = `basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, DNS:${EXPIRED_NAME}, DNS:${MUTUAL_NAME}, IP:127.0.0.1, IP:::1
`;
const CLIENT = "basicConstraints = CA:FALSE\nextendedKeyUsage = clientAuth\n";
const AUTHORITY = `[ca]
default_ca = one
[one]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
unique_subject = no
[names]
commonName = supplied
[req]
distinguished_name = subject
x509_extensions = v3
[subject]
[v3]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;

/** Makes the certificates in an existing folder. */
export async function makeCertificates(folder: string, openssl: string): Promise<Certificates> {
  const own = new Authority(join(folder, "authority"), openssl);
  const foreign = new Authority(join(folder, "foreign"), openssl);
  await Promise.all([own.create("stompy test authority"), foreign.create("foreign authority")]);
  // One at a time, because an authority keeps a list of what it issued.
  const server = await own.issue("server", "localhost", SERVER);
  const expired = await own.issue("expired", "localhost", SERVER, ["20200101000000Z", "20201231000000Z"]);
  const client = await own.issue("client", "guest", CLIENT);
  const foreignClient = await foreign.issue("client", "guest", CLIENT);
  return {
    ca: readFileSync(own.certFile, "utf8"),
    caFile: own.certFile,
    server,
    expired,
    client,
    foreignCa: readFileSync(foreign.certFile, "utf8"),
    foreignClient,
  };
}

/** Makes a Java key store from a certificate and its key. */
export async function makeKeyStore(openssl: string, from: Certificate, file: string): Promise<void> {
  const parts = ["-in", from.certFile, "-inkey", from.keyFile, "-name", "server", "-out", file];
  await execute(openssl, ["pkcs12", "-export", ...parts, "-passout", `pass:${STORE_PASSWORD}`]);
}

/** Makes the certificates in an existing folder, and beside them `server.p12`, `expired.p12` and `trust.p12` for Java. */
export async function makeJavaStores(folder: string, openssl: string, java: string): Promise<Certificates> {
  const certificates = await makeCertificates(folder, openssl);
  const trust = ["-importcert", "-noprompt", "-alias", "authority", "-file", certificates.caFile];
  const store = ["-keystore", join(folder, "trust.p12"), "-storetype", "PKCS12", "-storepass", STORE_PASSWORD];
  await Promise.all([
    makeKeyStore(openssl, certificates.server, join(folder, "server.p12")),
    makeKeyStore(openssl, certificates.expired, join(folder, "expired.p12")),
    execute(java.replace(/java$/, "keytool"), [...trust, ...store]),
  ]);
  return certificates;
}

/** A certificate authority with its folder. */
class Authority {
  readonly certFile: string;
  readonly #folder: string;
  readonly #openssl: string;

  constructor(folder: string, openssl: string) {
    this.certFile = join(folder, "ca.pem");
    this.#folder = folder;
    this.#openssl = openssl;
  }

  async create(name: string): Promise<void> {
    mkdirSync(this.#folder, { recursive: true });
    this.#write("ca.cnf", AUTHORITY);
    this.#write("index.txt", "");
    this.#write("serial", "01\n");
    await this.#makeKey("ca.key");
    await this.#run("req", "-x509", "-new", "-key", "ca.key", "-days", "30", "-subj", `/CN=${name}`, "-out", "ca.pem");
  }

  /** Issues a certificate, valid for 30 days unless other dates are given. */
  async issue(
    file: string,
    name: string,
    extensions: string,
    dates?: [from: string, to: string],
  ): Promise<Certificate> {
    const [certFile, keyFile] = [join(this.#folder, `${file}.pem`), join(this.#folder, `${file}.key`)];
    const [key, request, details] = [`${file}.key`, `${file}.csr`, `${file}.cnf`];
    this.#write(details, extensions);
    await this.#makeKey(key);
    await this.#run("req", "-new", "-key", key, "-subj", `/CN=${name}`, "-out", request);
    // Not `openssl x509 -days`: in some releases a negative number of days does not give an expired certificate.
    const validity = dates ? ["-startdate", dates[0], "-enddate", dates[1]] : ["-days", "30"];
    const signer = ["-batch", "-notext", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", details];
    await this.#run("ca", ...signer, ...validity, "-in", request, "-out", `${file}.pem`);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }

  async #makeKey(file: string): Promise<void> {
    const curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    await this.#run("genpkey", ...curve, "-out", file);
  }

  /** Runs openssl with the settings of the authority instead of those of the machine. */
  async #run(command: string, ...args: string[]): Promise<void> {
    const config = command === "req" || command === "ca" ? ["-config", "ca.cnf"] : [];
    await execute(this.#openssl, [command, ...config, ...args], { cwd: this.#folder });
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.#folder, file), text);
  }
}
