/**
 * Starts a RabbitMQ: STOMP over TCP, over TLS, and over WebSocket with and without TLS.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { certificateDetails, type HarnessOptions, MAX_BODY_BYTES, READER, type StartedBroker, USER } from "./broker.ts";
import { type Certificates, EXPIRED_NAME, makeCertificates, MUTUAL_NAME } from "./certificates.ts";
import { freePorts, onFreePorts, releasePorts } from "./ports.ts";
import { type Probe, untilAnswered } from "./probe.ts";
import { type Program, Programs, tailOf } from "./programs.ts";
import { type RabbitmqPrograms, rabbitmqPrograms, type RabbitmqRelease } from "./rabbitmq_programs.ts";

const execute = promisify(execFile);

/** A virtual host in addition to `/`. Its name contains characters that have a meaning in URLs. */
export const OTHER_HOST = "other/host %2F";

/** The prefix of the queues that reject what is over two messages. */
export const FULL_QUEUES = "full.";

/** Milliseconds from the start to CONNECTED, on a busy machine. */
const START_TIMEOUT_MS = 120_000;

/** Starts a RabbitMQ and waits until it answers. */
export async function startRabbitmq(release: RabbitmqRelease, options: HarnessOptions = {}): Promise<StartedBroker> {
  const { site, node } = await onFreePorts(async () => {
    const site = await RabbitmqSite.create("rabbitmq", release, options);
    try {
      const node = new RabbitmqNode(site, "stompy", await freePorts(RabbitmqNode.PORTS));
      await node.start();
      return { site, node };
    } catch (error) {
      await site.close();
      throw error;
    }
  });
  const { certificates } = site;
  const url = node.urls["stomp+ssl"]!;
  const stop = async () => {
    await node.stop();
    await site.close();
  };
  return {
    urls: node.urls,
    ...USER,
    caCerts: [certificates.ca],
    caFile: certificates.caFile,
    harness: {
      ...certificateDetails(certificates),
      mutual: { url, serverName: MUTUAL_NAME },
      expired: { url, serverName: EXPIRED_NAME },
      maxBodyBytes: site.maxBodyBytes,
      reader: READER,
      tokenKey: site.tokenKey,
    },
    get pid() {
      return node.pid;
    },
    kill: () => node.kill(),
    ctl: (...args) => node.ctl(args),
    async restart() {
      await node.stop();
      await node.start();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What the nodes of a cluster share: the folder, the certificates, and Erlang's port mapper (epmd). */
export class RabbitmqSite {
  /** The folder and the programs. */
  readonly programs: Programs;
  /** The certificates. */
  readonly certificates: Certificates;
  /** The largest body, in bytes. */
  readonly maxBodyBytes: number;
  /** The programs of the release. */
  readonly found: RabbitmqPrograms;
  /** The key that signs tokens, in base64url. */
  readonly tokenKey: string = randomBytes(32).toString("base64url");
  readonly #epmdPort: number;

  /** Makes the folder and everything that a node needs to start. */
  static async create(name: string, release: RabbitmqRelease, options: HarnessOptions): Promise<RabbitmqSite> {
    const found = rabbitmqPrograms(release); // throws before anything is created if a program is missing
    const programs = new Programs(name);
    try {
      const certificates = await makeCertificates(programs.folder, found.openssl);
      const [port] = await freePorts(1);
      const site = new RabbitmqSite(programs, found, certificates, port!, options.maxBodyBytes ?? MAX_BODY_BYTES);
      site.#write();
      // A node would start epmd as a daemon, which outlives all nodes and has no parent to end it.
      programs.start(found.epmd, ["-port", String(port), "-address", "127.0.0.1"], { log: "epmd.log" });
      return site;
    } catch (error) {
      await programs.close();
      throw error;
    }
  }

  private constructor(
    programs: Programs,
    found: RabbitmqPrograms,
    certificates: Certificates,
    epmdPort: number,
    maxBodyBytes: number,
  ) {
    this.programs = programs;
    this.found = found;
    this.certificates = certificates;
    this.#epmdPort = epmdPort;
    this.maxBodyBytes = maxBodyBytes;
  }

  /** Returns a path in the folder. */
  path(...parts: string[]): string {
    return join(this.programs.folder, ...parts);
  }

  /** The environment variables for all programs of RabbitMQ. */
  get env(): Record<string, string> {
    return {
      HOME: this.path("home"), // contains the cookie by which nodes trust each other
      RABBITMQ_CONF_ENV_FILE: "/dev/null", // ignore the settings of the machine
      RABBITMQ_ENABLED_PLUGINS_FILE: this.path("enabled_plugins"),
      RABBITMQ_ADVANCED_CONFIG_FILE: this.path("advanced.config"),
      ERL_EPMD_PORT: String(this.#epmdPort),
      ERL_EPMD_ADDRESS: "127.0.0.1",
      LANG: "C.UTF-8",
      LC_ALL: "C.UTF-8",
    };
  }

  /** Kills what still runs and removes the folder. */
  async close(): Promise<void> {
    await this.programs.close();
    releasePorts([this.#epmdPort]);
  }

  #write(): void {
    mkdirSync(this.path("home"));
    const cookie = this.path("home", ".erlang.cookie");
    writeFileSync(cookie, randomBytes(20).toString("hex").toUpperCase());
    chmodSync(cookie, 0o400);
    writeFileSync(this.path("enabled_plugins"), "[rabbitmq_stomp,rabbitmq_web_stomp,rabbitmq_auth_backend_oauth2].\n");
    writeFileSync(this.path("advanced.config"), this.#advanced());
    writeFileSync(this.path("definitions.json"), JSON.stringify(definitions()));
  }

  /**
   * Returns Erlang terms, because the plain configuration format can neither select certificates by server name nor hold a
   * symmetric key for tokens.
   */
  #advanced(): string {
    const { caFile, server, expired } = this.certificates;
    const pair = (of: typeof server) => `{certfile,"${of.certFile}"},{keyfile,"${of.keyFile}"}`;
    const key =
      `#{<<"kty">> => <<"oct">>, <<"alg">> => <<"HS256">>, <<"kid">> => <<"key">>, <<"k">> => <<"${this.tokenKey}">>}`;
    return `[{rabbitmq_auth_backend_oauth2,[
  {resource_server_id,<<"rabbitmq">>},
  {key_config,[{default_key,<<"key">>},{signing_keys,#{<<"key">> => {map,${key}}}}]}]},
 {rabbit,[{auth_backends,[rabbit_auth_backend_internal,rabbit_auth_backend_oauth2]},{ssl_options,[
  {cacertfile,"${caFile}"},${pair(server)},{verify,verify_none},
  {sni_hosts,[
    {"${EXPIRED_NAME}",[${pair(expired)}]},
    {"${MUTUAL_NAME}",[{verify,verify_peer},{fail_if_no_peer_cert,true}]}]}]}]}].
`;
  }
}

/** One node of RabbitMQ. */
export class RabbitmqNode {
  /** The number of ports that a node needs. */
  static readonly PORTS = 6;
  /** Its URLs. */
  readonly urls: Readonly<Record<"stomp" | "stomp+ssl" | "ws" | "wss", string>>;
  readonly #site: RabbitmqSite;
  readonly #name: string;
  readonly #ports: readonly number[];
  readonly #config: string;
  #program: Program | undefined;

  /** Prepares a node. `config` is appended to its configuration. */
  constructor(site: RabbitmqSite, name: string, ports: readonly number[], config = "") {
    this.#site = site;
    this.#name = name;
    this.#ports = ports;
    this.#config = config;
    const [stomp, tls, ws, wss] = ports;
    const login = `${USER.username}:${USER.password}@localhost`;
    this.urls = {
      "stomp": `stomp://${login.replace("localhost", "127.0.0.1")}:${stomp}`,
      "stomp+ssl": `stomp+ssl://${login}:${tls}`,
      "ws": `ws://${login.replace("localhost", "127.0.0.1")}:${ws}/ws`,
      "wss": `wss://${login}:${wss}/ws`,
    };
  }

  /** Its process id while it runs. */
  get pid(): number | undefined {
    return this.#program?.isRunning ? this.#program.pid : undefined;
  }

  /** Starts it and waits until all its ports answer. */
  async start(): Promise<void> {
    this.launch();
    await this.ready();
  }

  /** Starts it without waiting. */
  launch(): void {
    const folder = this.#site.path(this.#name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "rabbitmq.conf"), this.#configuration());
    this.#program = this.#site.programs.start(this.#site.found.server, [], {
      log: `${this.#name}.log`,
      env: {
        ...this.#site.env,
        RABBITMQ_NODENAME: `${this.#name}@localhost`,
        RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq"),
        RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
        RABBITMQ_LOG_BASE: join(folder, "log"),
        RABBITMQ_PID_FILE: join(folder, "pid"),
        RABBITMQ_DIST_PORT: String(this.#ports[5]),
        // Makes the script replace itself with the broker, so that the known process id is the broker's.
        RUNNING_UNDER_SYSTEMD: "true",
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
          "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
      },
    });
  }

  /** Waits until all its ports answer. */
  async ready(): Promise<void> {
    const program = this.#program;
    const checkAlive = () => {
      if (program?.isRunning) return;
      throw new Error(`Cannot start RabbitMQ: it exited with this output:\n${program && tailOf(program.log)}`);
    };
    for (const url of Object.values(this.urls)) {
      const probe: Probe = { url, ca: this.#site.certificates.ca, ...USER };
      await untilAnswered(probe, START_TIMEOUT_MS, checkAlive).catch((error) => {
        throw new Error(`Cannot start RabbitMQ: ${error.message}\n${program && tailOf(program.log)}`);
      });
    }
  }

  /** Kills it. */
  async kill(): Promise<void> {
    if (this.#program) await this.#site.programs.kill(this.#program);
  }

  /** Stops it by SIGTERM. */
  async stop(): Promise<void> {
    if (this.#program) await this.#site.programs.stop(this.#program);
  }

  /** Runs `rabbitmqctl` on it and returns the output. */
  async ctl(args: readonly string[]): Promise<string> {
    const env = { ...process.env, ...this.#site.env };
    const { stdout } = await execute(this.#site.found.ctl, ["--node", `${this.#name}@localhost`, ...args], { env });
    return stdout.trim();
  }

  #configuration(): string {
    const [stomp, tls, ws, wss, amqp] = this.#ports;
    const { caFile, server } = this.#site.certificates;
    return `listeners.tcp.1 = 127.0.0.1:${amqp}
loopback_users = none
log.console = false
load_definitions = ${this.#site.path("definitions.json")}
max_message_size = ${this.#site.maxBodyBytes}
stomp.listeners.tcp.1 = 127.0.0.1:${stomp}
stomp.listeners.ssl.1 = 127.0.0.1:${tls}
web_stomp.tcp.ip = 127.0.0.1
web_stomp.tcp.port = ${ws}
web_stomp.ssl.ip = 127.0.0.1
web_stomp.ssl.port = ${wss}
web_stomp.ssl.cacertfile = ${caFile}
web_stomp.ssl.certfile = ${server.certFile}
web_stomp.ssl.keyfile = ${server.keyFile}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
${this.#config}`;
  }
}

/** Returns users, virtual hosts and permissions in RabbitMQ's import format. */
function definitions(): unknown {
  const hosts = ["/", OTHER_HOST];
  const user = ({ username, password }: typeof USER, tags: string[]) => {
    const salt = randomBytes(4);
    const hash = createHash("sha256").update(salt).update(password).digest();
    return {
      name: username,
      password_hash: Buffer.concat([salt, hash]).toString("base64"),
      hashing_algorithm: "rabbit_password_hashing_sha256",
      tags,
    };
  };
  const permissions = (name: string, write: string) =>
    hosts.map((vhost) => ({ user: name, vhost, configure: ".*", write, read: ".*" }));
  return {
    users: [user(USER, ["administrator"]), user(READER, [])],
    vhosts: hosts.map((name) => ({ name })),
    policies: [{
      vhost: "/",
      name: "full",
      pattern: `^${FULL_QUEUES.replace(".", "\\.")}`,
      "apply-to": "queues",
      definition: { "max-length": 2, "overflow": "reject-publish" },
    }],
    permissions: [...permissions(USER.username, ".*"), ...permissions(READER.username, "^$")],
  };
}
