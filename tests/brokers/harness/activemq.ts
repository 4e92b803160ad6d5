/**
 * Starts an ActiveMQ Classic, 5.17 or 6: STOMP over blocking sockets, over NIO, and both with TLS. There is no WebSocket,
 * because neither Debian's build nor Maven Central has the module for it.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { certificateDetails, type HarnessOptions, MAX_BODY_BYTES, READER, type StartedBroker, USER } from "./broker.ts";
import { type Certificates, makeJavaStores, STORE_PASSWORD } from "./certificates.ts";
import { found, JAVA, type Need, OPENSSL } from "./install.ts";
import { jarsNeed, JAVA_17, JAVA_FLAGS, MAVEN } from "./maven.ts";
import { freePorts } from "./ports.ts";
import { untilAnswered } from "./probe.ts";
import { Programs, tailOf } from "./programs.ts";
import { SingleProcess, startedBroker, startOnFreePorts } from "./single_process.ts";

const ACTIVEMQ: Need = {
  package: "activemq",
  what: "/usr/share/activemq/bin/activemq.jar",
  find: () => ["/usr/share/activemq/bin/activemq.jar"].find((path) => existsSync(path)),
};

/** The jars of ActiveMQ 6, with the Spring that reads its configuration and the logger that writes its log. */
const ACTIVEMQ_6: Need = jarsNeed("activemq-6.3.1", [
  ...["broker", "jaas", "kahadb-store", "stomp", "spring", "console"].map((name) =>
    `org.apache.activemq:activemq-${name}:6.3.1`
  ),
  "org.springframework:spring-context:7.0.8",
  "org.apache.logging.log4j:log4j-slf4j2-impl:2.26.1",
]);

/** The releases that the harness can start. */
export type ActivemqRelease = "5" | "6";

/** What each release needs. */
export const ACTIVEMQ_NEEDS: Record<ActivemqRelease, readonly Need[]> = {
  "5": [ACTIVEMQ, JAVA, OPENSSL],
  "6": [MAVEN, ACTIVEMQ_6, JAVA_17, OPENSSL],
};

/** Milliseconds for starting, on a busy machine. */
const START_TIMEOUT_MS = 90_000;

/** The prefix of the queues that deliver by priority. Other queues only pass the priority on. */
export const PRIORITY_QUEUES = "priority.";

/** Starts an ActiveMQ with KahaDB and waits until it answers. */
export async function startActivemq(release: ActivemqRelease, options: HarnessOptions = {}): Promise<StartedBroker> {
  const broker = await startOnFreePorts(() => Activemq.create(release, options));
  const { certificates, urls } = broker;
  const { "mutual": mutual, "expired": expired, ...rest } = urls;
  return startedBroker(broker, {
    urls: rest,
    ...USER,
    caCerts: [certificates.ca],
    caFile: certificates.caFile,
    harness: {
      ...certificateDetails(certificates),
      mutual: { url: mutual! },
      expired: { url: expired! },
      maxBodyBytes: broker.maxBodyBytes,
      reader: READER,
    },
  });
}

/** The names of the connectors, in the order of their ports. */
const CONNECTORS = ["stomp", "stomp+nio", "stomp+ssl", "stomp+nio+ssl", "mutual", "expired"] as const;

class Activemq extends SingleProcess {
  readonly certificates: Certificates;
  readonly maxBodyBytes: number;
  readonly urls: Record<string, string>;
  readonly #found: ActivemqPrograms;

  static async create(release: ActivemqRelease, options: HarnessOptions): Promise<Activemq> {
    const found = activemqPrograms(release); // throws before anything is created if a program is missing
    const programs = new Programs("activemq");
    try {
      const certificates = await makeJavaStores(programs.folder, found.openssl, found.java);
      const ports = await freePorts(CONNECTORS.length);
      const broker = new Activemq(found, programs, certificates, ports, options.maxBodyBytes ?? MAX_BODY_BYTES);
      broker.#write();
      return broker;
    } catch (error) {
      await programs.close();
      throw error;
    }
  }

  private constructor(
    found: ActivemqPrograms,
    programs: Programs,
    certificates: Certificates,
    ports: readonly number[],
    maxBodyBytes: number,
  ) {
    super(programs, ports);
    this.#found = found;
    this.certificates = certificates;
    this.maxBodyBytes = maxBodyBytes;
    const login = `${USER.username}:${USER.password}@`;
    this.urls = Object.fromEntries(CONNECTORS.map((name, index) => {
      const plain = name === "stomp" || name === "stomp+nio";
      return [name, `${plain ? `stomp://${login}127.0.0.1` : `stomp+ssl://${login}localhost`}:${ports[index]}`];
    }));
  }

  /** Starts it and waits until all its ports answer. */
  override async start(): Promise<void> {
    const { java, home, jars } = this.#found;
    const conf = this.#path("conf");
    const log = `activemq-${Date.now()}.log`; // a new file for each start, because `start` waits for a line in it
    const program = this.program = this.programs.start(java, [
      ...JAVA_FLAGS,
      `-Djava.io.tmpdir=${this.#path("tmp")}`,
      ...["lang", "util", "net"].map((name) => `--add-opens=java.base/java.${name}=ALL-UNNAMED`),
      `-Dactivemq.home=${home}`,
      `-Dactivemq.base=${this.programs.folder}`,
      `-Dactivemq.conf=${conf}`,
      `-Dactivemq.data=${this.#path("data")}`,
      "-cp",
      [conf, ...jars].join(":"),
      "org.apache.activemq.console.Main",
      "start",
      `xbean:file:${join(conf, "activemq.xml")}`,
    ], { log });
    const checkAlive = () => {
      if (!program.isRunning) throw new Error("it exited");
    };
    try {
      for (const [name, url] of Object.entries(this.urls)) {
        const client = name === "mutual" ? this.certificates.client : undefined;
        // The probe rejects an expired certificate as well; the log tells whether that broker runs.
        if (name === "expired") continue;
        await untilAnswered({ url, ca: this.certificates.ca, client, ...USER }, START_TIMEOUT_MS, checkAlive);
      }
      // An error in a later connector ends the broker even though STOMP already answers.
      const end = performance.now() + START_TIMEOUT_MS;
      while (countStarted(readFileSync(program.log, "utf8")) < 2) {
        checkAlive();
        if (performance.now() > end) throw new Error("its log does not say that it has started");
        await sleep(50);
      }
    } catch (error) {
      throw new Error(`Cannot start ActiveMQ: ${(error as Error).message}\n${tailOf(program.log)}`);
    }
  }

  #path(...parts: string[]): string {
    return join(this.programs.folder, ...parts);
  }

  #write(): void {
    for (const folder of ["conf", "data", "tmp"]) mkdirSync(this.#path(folder));
    writeFileSync(this.#path("conf", "activemq.xml"), this.#configuration());
    // Release 6 reads the first file, and release 5 the second.
    writeFileSync(
      this.#path("conf", "log4j2.properties"),
      `appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %-5p %c{1} - %m%n
rootLogger = INFO, out
`,
    );
    writeFileSync(
      this.#path("conf", "log4j.properties"),
      `log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %-5p %c{1} - %m%n
`,
    );
  }

  /** Two brokers in one process, because a certificate belongs to a broker and one of them has expired. */
  #configuration(): string {
    // Without tcpNoDelay, a message that follows a receipt is delayed by 40 ms (Nagle).
    const limit = `wireFormat.maxFrameSize=${this.maxBodyBytes}&amp;transport.tcpNoDelay=true`;
    const connector = (name: (typeof CONNECTORS)[number], options = "") => {
      const scheme = name === "mutual" || name === "expired" ? "stomp+ssl" : name;
      const port = this.ports[CONNECTORS.indexOf(name)];
      return `<transportConnector name="${name}" uri="${scheme}://127.0.0.1:${port}?${limit}${options}"/>`;
    };
    const store = (file: string) =>
      `keyStore="file:${this.#path(file)}" keyStoreType="PKCS12" keyStorePassword="${STORE_PASSWORD}"`;
    const trust = store("trust.p12").replaceAll("keyStore", "trustStore");
    const user = ({ username, password }: typeof USER, groups: string) =>
      `<authenticationUser username="${username}" password="${password}" groups="${groups}"/>`;
    const users = `<simpleAuthenticationPlugin anonymousAccessAllowed="false"><users>
        ${user(USER, "users,readers")}${user(READER, "readers")}
      </users></simpleAuthenticationPlugin>`;
    const entry = (what: string, write: string) =>
      `<authorizationEntry ${what} read="readers" write="${write}" admin="readers"/>`;
    return `<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="stompy" useJmx="false" persistent="true"
      dataDirectory="${this.#path("data")}" schedulerSupport="true">
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry queue="${PRIORITY_QUEUES}&gt;" prioritizedMessages="true"/>
      <policyEntry queue="&gt;"><deadLetterStrategy>
        <individualDeadLetterStrategy queuePrefix="DLQ." useQueueForQueueMessages="true"/>
      </deadLetterStrategy></policyEntry>
    </policyEntries></policyMap></destinationPolicy>
    <persistenceAdapter>
      <kahaDB directory="${this.#path("data", "kahadb")}" journalMaxFileLength="8mb"/>
    </persistenceAdapter>
    <plugins>${users}
      <authorizationPlugin><map><authorizationMap><authorizationEntries>
        ${entry('queue="&gt;"', "users")}${entry('topic="&gt;"', "users")}
        ${entry('topic="ActiveMQ.Advisory.&gt;"', "readers")}
      </authorizationEntries></authorizationMap></map></authorizationPlugin>
    </plugins>
    <sslContext><sslContext ${store("server.p12")} ${trust}/></sslContext>
    <systemUsage><systemUsage>
      <memoryUsage><memoryUsage limit="128 mb"/></memoryUsage>
      <storeUsage><storeUsage limit="1 gb"/></storeUsage>
      <tempUsage><tempUsage limit="256 mb"/></tempUsage>
    </systemUsage></systemUsage>
    <transportConnectors>
      ${connector("stomp")}${connector("stomp+nio")}
      ${connector("stomp+ssl")}${connector("stomp+nio+ssl")}
      ${connector("mutual", "&amp;transport.needClientAuth=true")}
    </transportConnectors>
  </broker>
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="expired" useJmx="false" persistent="false"
      dataDirectory="${this.#path("data", "expired")}">
    <sslContext><sslContext ${store("expired.p12")}/></sslContext>
    <transportConnectors>${connector("expired")}</transportConnectors>
  </broker>
</beans>
`;
  }
}

/** What starting it needs. */
interface ActivemqPrograms {
  readonly java: string;
  readonly openssl: string;
  /** Its home folder. */
  readonly home: string;
  /** Its class path. */
  readonly jars: readonly string[];
}

/** Finds what starting it needs. */
function activemqPrograms(release: ActivemqRelease): ActivemqPrograms {
  if (release === "6") {
    const home = found(ACTIVEMQ_6);
    return { java: found(JAVA_17), openssl: found(OPENSSL), home, jars: [join(home, "*")] };
  }
  const home = join(found(ACTIVEMQ), "../..");
  const jars = ["lib/*", "lib/optional/*"].map((folder) => join(home, folder));
  return { java: found(JAVA), openssl: found(OPENSSL), home, jars };
}

/** Returns how many brokers have started according to the log. */
function countStarted(log: string): number {
  return log.match(/ - Apache ActiveMQ .* started$/gm)?.length ?? 0;
}
