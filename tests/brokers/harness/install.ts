/**
 * Gets what the brokers need from Debian's packages, where that is possible, and says how to get it where it is not.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, globSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import type { BrokerName } from "./broker.ts";

/** Something that a broker needs: what it is, and where to look for it. */
interface Need {
  /** The Debian package that has it. */
  package: string;
  /** What is missing when it is missing. */
  what: string;
  /** Where it is, if it is there. */
  find: () => string | undefined;
}

const RABBITMQ: Need = {
  package: "rabbitmq-server",
  what: "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
  // Not the programs in /usr/sbin: as root those change to a user of their own, who may not see our folder.
  find: () => globSync("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server").sort().at(-1),
};
const EPMD: Need = { package: "rabbitmq-server", what: "epmd", find: () => onPath("epmd") };
const ACTIVEMQ: Need = {
  package: "activemq",
  what: "/usr/share/activemq/bin/activemq.jar",
  find: () => ["/usr/share/activemq/bin/activemq.jar"].find((path) => existsSync(path)),
};
const JAVA: Need = { package: "default-jre-headless", what: "java", find: () => onPath("java") };
const OPENSSL: Need = { package: "openssl", what: "openssl", find: () => onPath("openssl") };
const CHROMIUM: Need = {
  package: "chromium",
  what: "chromium",
  find: () => ["chromium", "chromium-browser", "google-chrome"].map(onPath).find((path) => path !== undefined),
};

const NEEDS: Record<BrokerName, readonly Need[]> = {
  rabbitmq: [RABBITMQ, EPMD, OPENSSL],
  activemq: [ACTIVEMQ, JAVA, OPENSSL],
};

/** What a broker lacks on this machine, for people; empty when it can be started. */
export function missingFor(name: BrokerName): string[] {
  return NEEDS[name].filter((need) => need.find() === undefined).map((need) => need.what);
}

/** A sentence that says what is missing, and how to get it. */
export function adviceFor(name: BrokerName): string {
  const packages = new Set(NEEDS[name].filter((need) => need.find() === undefined).map((need) => need.package));
  return `Cannot start ${name}: this machine has no ${missingFor(name).join(", no ")}; ` +
    `on Debian, "apt-get install ${[...packages].join(" ")}" as root brings it, ` +
    `or let STOMPY_${name.toUpperCase()}_URL name one that runs already`;
}

/** The programs that RabbitMQ is started by. */
export function rabbitmqPrograms(): { server: string; ctl: string; epmd: string; openssl: string } {
  const server = found("rabbitmq", RABBITMQ);
  return {
    server,
    ctl: server.replace(/rabbitmq-server$/, "rabbitmqctl"),
    epmd: found("rabbitmq", EPMD),
    openssl: found("rabbitmq", OPENSSL),
  };
}

/** The programs that ActiveMQ is started by. */
export function activemqPrograms(): { java: string; home: string; openssl: string } {
  return {
    java: found("activemq", JAVA),
    home: join(found("activemq", ACTIVEMQ), "../.."),
    openssl: found("activemq", OPENSSL),
  };
}

/** The browser that runs a page against RabbitMQ. */
export function chromiumProgram(): string {
  const path = CHROMIUM.find();
  if (path !== undefined) return path;
  throw new Error(
    `Cannot run a page: this machine has no ${CHROMIUM.what}; ` +
      `on Debian, "apt-get install ${CHROMIUM.package}" as root brings it`,
  );
}

/**
 * Installs what the brokers lack, and the browser that runs a page against RabbitMQ, as root on Debian; elsewhere does
 * nothing. Says what it does.
 */
export async function installBrokers(names: readonly BrokerName[], say: (line: string) => void): Promise<void> {
  const all = names.flatMap((name) => name === "rabbitmq" ? [...NEEDS[name], CHROMIUM] : NEEDS[name]);
  const needs = all.filter((need) => need.find() === undefined);
  const packages = [...new Set(needs.map((need) => need.package))];
  if (packages.length === 0) return;
  const aptGet = onPath("apt-get");
  if (process.getuid?.() !== 0 || aptGet === undefined) return;
  say(`Installing Debian packages: ${packages.join(" ")}`);
  const begun = performance.now();
  const { code, output } = await shell(INSTALL, packages);
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  say(code === 0 ? `Installed in ${seconds} s` : `apt-get ended with code ${code}:\n${output.trim()}`);
}

/**
 * Packages of servers start them. A `policy-rc.d` that says no keeps them from it, for as long as this takes: one that
 * is there already says what its owner wants, and stays. In a shell, so that it is taken away also when the test run is
 * ended meanwhile.
 */
const INSTALL = `
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM HUP
  printf '#!/bin/sh\\nexit 101\\n' > "$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
`;

function shell(script: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number | null; output: string }>();
  const child = spawn("/bin/sh", ["-c", script, "sh", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => output += text);
  }
  child.once("error", (error) => resolve({ code: null, output: error.message }));
  child.once("close", (code) => resolve({ code, output }));
  return promise;
}

function found(name: BrokerName, need: Need): string {
  const path = need.find();
  if (path === undefined) throw new Error(adviceFor(name));
  return path;
}

function onPath(program: string): string | undefined {
  // Debian keeps some programs where only root's PATH looks.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  return folders.filter((folder) => folder !== "").map((folder) => join(folder, program)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
