/**
 * Certificates for brokers on loopback: by an authority of their own, good ones and such as must be refused.
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
  /** The file of the certificate, PEM. */
  certFile: string;
  /** The file of the key, PEM. */
  keyFile: string;
  /** The certificate, PEM. */
  cert: string;
  /** The key, PEM. */
  key: string;
}

/** The certificates of a harness. */
export interface Certificates {
  /** The authority, PEM. */
  ca: string;
  /** The file of the authority. */
  caFile: string;
  /** The broker's: for localhost and the addresses of loopback. */
  server: Certificate;
  /** The same for the year 2020, which is over. */
  expired: Certificate;
  /** A client's. */
  client: Certificate;
  /** An authority that has signed none of them, PEM. */
  foreignCa: string;
  /** A client's by that authority. */
  foreignClient: Certificate;
}

/** The name that the server's certificates have beside those of loopback, for brokers that choose one by name. */
export const EXPIRED_NAME = "expired.test";

/** The name under which RabbitMQ asks clients for their certificate. */
export const MUTUAL_NAME = "mutual.test";

/** Password of the key stores that Java wants. There is no secret in them. */
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

/** Makes the certificates in a folder, which has to exist. */
export async function makeCertificates(folder: string, openssl: string): Promise<Certificates> {
  const own = new Authority(join(folder, "authority"), openssl);
  const foreign = new Authority(join(folder, "foreign"), openssl);
  await Promise.all([own.create("stompy test authority"), foreign.create("somebody else")]);
  // One after the other: an authority keeps a list.
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

/** Makes a key store for Java of a certificate and its key. */
export async function makeKeyStore(openssl: string, from: Certificate, file: string): Promise<void> {
  const parts = ["-in", from.certFile, "-inkey", from.keyFile, "-name", "server", "-out", file];
  await execute(openssl, ["pkcs12", "-export", ...parts, "-passout", `pass:${STORE_PASSWORD}`]);
}

/** An authority, in a folder of its own. */
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

  /** Issues a certificate, for a month from now unless other dates are given. */
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
    // Not `openssl x509 -days`: no negative number of days makes an expired certificate in every release.
    const validity = dates ? ["-startdate", dates[0], "-enddate", dates[1]] : ["-days", "30"];
    const signer = ["-batch", "-notext", "-cert", "ca.pem", "-keyfile", "ca.key", "-extfile", details];
    await this.#run("ca", ...signer, ...validity, "-in", request, "-out", `${file}.pem`);
    return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  }

  async #makeKey(file: string): Promise<void> {
    const curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    await this.#run("genpkey", ...curve, "-out", file);
  }

  /** Runs openssl with the authority's own settings, whatever those of the machine are. */
  async #run(command: string, ...args: string[]): Promise<void> {
    const config = command === "req" || command === "ca" ? ["-config", "ca.cnf"] : [];
    await execute(this.#openssl, [command, ...config, ...args], { cwd: this.#folder });
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.#folder, file), text);
  }
}
