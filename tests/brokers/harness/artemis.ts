/**
 * Starts an Artemis: STOMP over TCP and TLS, and over WebSockets on the same ports.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { certificateDetails, type HarnessOptions, MAX_BODY_BYTES, READER, type StartedBroker, USER } from "./broker.ts";
import { type Certificates, makeJavaStores, STORE_PASSWORD } from "./certificates.ts";
import { found, type Need, OPENSSL } from "./install.ts";
import { archiveNeed, JAVA_17, JAVA_FLAGS, MAVEN } from "./maven.ts";
import { freePorts } from "./ports.ts";
import { untilAnswered } from "./probe.ts";
import { Programs, tailOf } from "./programs.ts";
import { SingleProcess, startedBroker, startOnFreePorts } from "./single_process.ts";

const ARTEMIS: Need = archiveNeed("artemis-2.44.0", "org.apache.activemq:apache-artemis:2.44.0:tar.gz:bin");

/** What Artemis needs. */
export const ARTEMIS_NEEDS: readonly Need[] = [MAVEN, ARTEMIS, JAVA_17, OPENSSL];

/** Milliseconds for starting, on a busy machine. */
const START_TIMEOUT_MS = 90_000;

/** The names of the acceptors, in the order of their ports. */
const ACCEPTORS = ["stomp", "tls", "mutual", "expired"] as const;

/** Starts an Artemis with its journal on disk and waits until it answers. */
export async function startArtemis(options: HarnessOptions = {}): Promise<StartedBroker> {
  const broker = await startOnFreePorts(() => Artemis.create());
  const { certificates, urls } = broker;
  const { mutual, expired, ...rest } = urls;
  return startedBroker(broker, {
    urls: rest,
    ...USER,
    caCerts: [certificates.ca],
    caFile: certificates.caFile,
    harness: {
      ...certificateDetails(certificates),
      mutual: { url: mutual! },
      expired: { url: expired! },
      maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES,
      reader: READER,
    },
  });
}

class Artemis extends SingleProcess {
  readonly certificates: Certificates;
  readonly urls: Record<string, string>;
  readonly #home: string;

  static async create(): Promise<Artemis> {
    const [home, java, openssl] = [found(ARTEMIS), found(JAVA_17), found(OPENSSL)];
    const programs = new Programs("artemis");
    try {
      const certificates = await makeJavaStores(programs.folder, openssl, java);
      const broker = new Artemis(home, programs, certificates, await freePorts(ACCEPTORS.length));
      broker.#write();
      return broker;
    } catch (error) {
      await programs.close();
      throw error;
    }
  }

  private constructor(home: string, programs: Programs, certificates: Certificates, ports: readonly number[]) {
    super(programs, ports);
    this.#home = home;
    this.certificates = certificates;
    const [plain, tls, mutual, expired] = ports;
    const login = `${USER.username}:${USER.password}@`;
    this.urls = {
      "stomp": `stomp://${login}127.0.0.1:${plain}`,
      "stomp+ssl": `stomp+ssl://${login}localhost:${tls}`,
      "ws": `ws://${login}127.0.0.1:${plain}/stomp`,
      "wss": `wss://${login}localhost:${tls}/stomp`,
      "mutual": `stomp+ssl://${login}localhost:${mutual}`,
      "expired": `stomp+ssl://${login}localhost:${expired}`,
    };
  }

  /** Starts it and waits until all its ports answer. */
  override async start(): Promise<void> {
    const [home, folder] = [this.#home, this.programs.folder];
    const log = `artemis-${Date.now()}.log`; // a new file for each start, because `start` waits for a line in it
    const program = this.program = this.programs.start(found(JAVA_17), [
      ...JAVA_FLAGS,
      "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
      `-Djava.io.tmpdir=${this.#path("tmp")}`,
      `-Djava.security.auth.login.config=${this.#path("etc", "login.config")}`,
      "-Dlog4j2.disableJmx=true",
      `-Dartemis.home=${home}`,
      `-Dartemis.instance=${folder}`,
      `-Dartemis.instance.etc=${this.#path("etc")}`,
      `-Ddata.dir=${this.#path("data")}`,
      "-cp",
      join(home, "lib/artemis-boot.jar"),
      "org.apache.activemq.artemis.boot.Artemis",
      "run",
    ], { log });
    const checkAlive = () => {
      if (!program.isRunning) throw new Error("it exited");
    };
    try {
      const end = performance.now() + START_TIMEOUT_MS;
      // "Server is now live". All ports are open then, or a line says that one is in use.
      while (!(existsSync(program.log) && readFileSync(program.log, "utf8").includes("AMQ221007"))) {
        checkAlive();
        if (performance.now() > end) throw new Error("its log does not say that it has started");
        await sleep(50);
      }
      for (const [name, url] of Object.entries(this.urls)) {
        const client = name === "mutual" ? this.certificates.client : undefined;
        // The probe rejects an expired certificate as well.
        if (name === "expired") continue;
        await untilAnswered({ url, ca: this.certificates.ca, client, ...USER }, START_TIMEOUT_MS, checkAlive);
      }
    } catch (error) {
      throw new Error(`Cannot start Artemis: ${(error as Error).message}\n${tailOf(program.log)}`);
    }
  }

  #path(...parts: string[]): string {
    return join(this.programs.folder, ...parts);
  }

  #write(): void {
    for (const folder of ["etc", "data", "tmp", "log"]) mkdirSync(this.#path(folder));
    const write = (file: string, text: string) => writeFileSync(this.#path("etc", file), text);
    write("broker.xml", this.#configuration());
    write(
      "bootstrap.xml",
      `<broker xmlns="http://activemq.apache.org/schema">
  <jaas-security domain="activemq"/>
  <server configuration="file:${this.#path("etc", "broker.xml")}"/>
</broker>
`,
    );
    write("management.xml", `<management-context xmlns="http://activemq.apache.org/schema"/>`);
    write(
      "login.config",
      `activemq {
  org.apache.activemq.artemis.spi.core.security.jaas.PropertiesLoginModule required
    org.apache.activemq.jaas.properties.user="users.properties"
    org.apache.activemq.jaas.properties.role="roles.properties";
};
`,
    );
    const users = [USER, READER].map(({ username, password }) => `${username}=${password}\n`).join("");
    write("users.properties", users);
    write("roles.properties", `users=${USER.username}\nreaders=${USER.username},${READER.username}\n`);
    write(
      "log4j2.properties",
      `appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1} - %m%n
rootLogger = INFO, out
`,
    );
  }

  /**
   * What `artemis create` writes, as far as it matters to STOMP: no prefixes for queues and topics, so that clients have
   * to say which of both a destination is. The disk is never full, since the machine's disk is not what is tested.
   */
  #configuration(): string {
    const store = (name: "keyStore" | "trustStore", file: string) =>
      `${name}Path=${this.#path(file)};${name}Type=PKCS12;${name}Password=${STORE_PASSWORD}`;
    const parameters: Record<(typeof ACCEPTORS)[number], string[]> = {
      stomp: [],
      tls: ["sslEnabled=true", store("keyStore", "server.p12")],
      mutual: [
        "sslEnabled=true",
        store("keyStore", "server.p12"),
        store("trustStore", "trust.p12"),
        "needClientAuth=true",
      ],
      expired: ["sslEnabled=true", store("keyStore", "expired.p12")],
    };
    const acceptors = ACCEPTORS.map((name, index) => {
      const uri = `tcp://127.0.0.1:${this.ports[index]}?${["protocols=STOMP", ...parameters[name]].join(";")}`;
      return `<acceptor name="${name}">${uri}</acceptor>`;
    }).join("\n      ");
    const permit = (roles: string, ...types: string[]) =>
      types.map((type) => `<permission type="${type}" roles="${roles}"/>`).join("");
    return `<configuration xmlns="urn:activemq"><core xmlns="urn:activemq:core">
    <name>stompy</name>
    <persistence-enabled>true</persistence-enabled>
    <journal-type>NIO</journal-type>
    <journal-directory>${this.#path("data", "journal")}</journal-directory>
    <bindings-directory>${this.#path("data", "bindings")}</bindings-directory>
    <paging-directory>${this.#path("data", "paging")}</paging-directory>
    <large-messages-directory>${this.#path("data", "large")}</large-messages-directory>
    <journal-min-files>2</journal-min-files>
    <journal-file-size>10M</journal-file-size>
    <max-disk-usage>100</max-disk-usage>
    <acceptors>
      ${acceptors}
    </acceptors>
    <security-settings><security-setting match="#">
      ${permit("users", "send")}
      ${permit("readers", "consume", "browse", "createAddress", "deleteAddress")}
      ${permit("readers", "createDurableQueue", "deleteDurableQueue")}
      ${permit("readers", "createNonDurableQueue", "deleteNonDurableQueue")}
    </security-setting></security-settings>
    <address-settings><address-setting match="#">
      <dead-letter-address>DLQ</dead-letter-address>
      <expiry-address>ExpiryQueue</expiry-address>
      <auto-delete-queues>false</auto-delete-queues>
      <auto-delete-addresses>false</auto-delete-addresses>
    </address-setting></address-settings>
    <addresses>
      <address name="DLQ"><anycast><queue name="DLQ"/></anycast></address>
      <address name="ExpiryQueue"><anycast><queue name="ExpiryQueue"/></anycast></address>
    </addresses>
  </core></configuration>
`;
  }
}
