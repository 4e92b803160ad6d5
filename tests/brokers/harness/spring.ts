/**
 * Starts the application in `spring/Application.java` on Spring Boot: its simple broker over WebSocket, and over the raw
 * endpoint of SockJS. A second instance in the same process has TLS, heart-beats and selectors.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inRoot } from "../../support/project.ts";
import { type HarnessOptions, type StartedBroker, USER } from "./broker.ts";
import { type Certificates, makeCertificates } from "./certificates.ts";
import { found, type Need, OPENSSL, runShell } from "./install.ts";
import { jarsNeed, JAVA_17, JAVA_FLAGS, JAVAC_17, MAVEN } from "./maven.ts";
import { freePorts } from "./ports.ts";
import { Programs, tailOf } from "./programs.ts";
import { SingleProcess, startedBroker, startOnFreePorts } from "./single_process.ts";

const BOOT = "4.0.7";
const SOURCE = inRoot("tests", "brokers", "harness", "spring", "Application.java");

const SPRING: Need = jarsNeed(
  `spring-boot-${BOOT}`,
  ["org.springframework.boot:spring-boot-starter-websocket"],
  `org.springframework.boot:spring-boot-starter-parent:${BOOT}`,
);

/** What the application needs. */
export const SPRING_NEEDS: readonly Need[] = [MAVEN, SPRING, JAVA_17, JAVAC_17, OPENSSL];

/** Milliseconds for starting, on a busy machine. */
const START_TIMEOUT_MS = 90_000;

/** Milliseconds between the heart-beats of the second instance, in both directions. */
const HEARTBEAT_MS = 1000;

/** Starts the application and waits until both instances listen. Its broker keeps nothing, so it has no disk. */
export async function startSpring(_options: HarnessOptions = {}): Promise<StartedBroker> {
  const broker = await startOnFreePorts(() => Spring.create());
  const { certificates } = broker;
  return startedBroker(broker, {
    urls: broker.urls,
    ...USER,
    caCerts: [certificates.ca],
    caFile: certificates.caFile,
  });
}

class Spring extends SingleProcess {
  readonly certificates: Certificates;
  readonly urls: Record<string, string>;
  readonly #classes: string;

  static async create(): Promise<Spring> {
    const [openssl, classes] = [found(OPENSSL), await compile()];
    const programs = new Programs("spring");
    try {
      const certificates = await makeCertificates(programs.folder, openssl);
      return new Spring(classes, programs, certificates, await freePorts(2));
    } catch (error) {
      await programs.close();
      throw error;
    }
  }

  private constructor(classes: string, programs: Programs, certificates: Certificates, ports: readonly number[]) {
    super(programs, ports);
    this.#classes = classes;
    this.certificates = certificates;
    const [plain, tls] = ports;
    this.urls = {
      ws: `ws://127.0.0.1:${plain}/ws`,
      sockjs: `ws://127.0.0.1:${plain}/sockjs/websocket`,
      wss: `wss://localhost:${tls}/ws`,
    };
  }

  /** Starts it and waits until both instances listen. */
  override async start(): Promise<void> {
    const { certFile, keyFile } = this.certificates.server;
    const [plain, tls] = this.ports;
    const log = `spring-${Date.now()}.log`; // a new file for each start, because `start` waits for a line in it
    const program = this.program = this.programs.start(found(JAVA_17), [
      ...JAVA_FLAGS,
      `-Djava.io.tmpdir=${this.programs.folder}`,
      "-cp",
      [this.#classes, join(found(SPRING), "*")].join(":"),
      "stompy.Application",
      `server.address=127.0.0.1,server.port=${plain}`,
      [
        "server.address=127.0.0.1",
        `server.port=${tls}`,
        `server.ssl.certificate=file:${certFile}`,
        `server.ssl.certificate-private-key=file:${keyFile}`,
        `stompy.heartbeat=${HEARTBEAT_MS}`,
      ].join(","),
    ], { log });
    const end = performance.now() + START_TIMEOUT_MS;
    const fail = (why: string) => new Error(`Cannot start Spring: ${why}\n${tailOf(program.log)}`);
    while (!(existsSync(program.log) && readFileSync(program.log, "utf8").includes("All applications have started"))) {
      if (!program.isRunning) throw fail("it exited");
      if (performance.now() > end) throw fail("its log does not say that it has started");
      await sleep(50);
    }
  }
}

/** Compiles the application, unless that was done for this source before. Resolves to the folder of its classes. */
async function compile(): Promise<string> {
  const [jars, javac] = [found(SPRING), found(JAVAC_17)];
  const hash = createHash("sha256").update(readFileSync(SOURCE)).update(BOOT).digest("hex").slice(0, 12);
  const target = inRoot(".runtimes", "brokers", `spring-classes-${hash}`);
  if (existsSync(target)) return target;
  mkdirSync(join(target, ".."), { recursive: true });
  const work = mkdtempSync(`${target}-`);
  try {
    // With the names of parameters, by which Spring finds what a handler takes.
    const script = `"$1" -parameters -cp "$2/*" -d "$3" "$4"`;
    const { code, output } = await runShell(script, [javac, jars, work, SOURCE]);
    if (code !== 0) throw new Error(`Cannot compile ${SOURCE}: ${output.trim()}`);
    renameSync(work, target); // fails if another process was faster, which is as good
  } catch (error) {
    if (!existsSync(target)) throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return target;
}
