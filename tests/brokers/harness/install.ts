/**
 * Installs what the brokers need from Debian's packages if possible, and otherwise says how to install it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { accessSync, constants, existsSync, globSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import type { BrokerName } from "./broker.ts";

/** A program that a broker needs. */
interface Need {
  /** The Debian package that contains it. */
  package: string;
  /** What to call it in a message when it is missing. */
  what: string;
  /** Returns its path, if it is installed. */
  find: () => string | undefined;
}

const RABBITMQ: Need = {
  package: "rabbitmq-server",
  what: "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
  // Not the programs in /usr/sbin: run as root, those change to the user `rabbitmq`, who may not read the test's folder.
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

/** Returns the names of what a broker lacks on this machine. */
export function missingFor(name: BrokerName): string[] {
  return NEEDS[name].filter((need) => need.find() === undefined).map((need) => need.what);
}

/** Returns an error message that says what is missing and how to install it. */
export function adviceFor(name: BrokerName): string {
  const packages = new Set(NEEDS[name].filter((need) => need.find() === undefined).map((need) => need.package));
  return `Cannot start ${name}: this machine has no ${missingFor(name).join(", no ")}; ` +
    `on Debian, run "apt-get install ${[...packages].join(" ")}" as root, ` +
    `or set STOMPY_${name.toUpperCase()}_URL to a running broker`;
}

/** Returns the paths of the programs that start RabbitMQ. */
export function rabbitmqPrograms(): { server: string; ctl: string; epmd: string; openssl: string } {
  const server = found("rabbitmq", RABBITMQ);
  return {
    server,
    ctl: server.replace(/rabbitmq-server$/, "rabbitmqctl"),
    epmd: found("rabbitmq", EPMD),
    openssl: found("rabbitmq", OPENSSL),
  };
}

/** Returns the paths that starting ActiveMQ needs. */
export function activemqPrograms(): { java: string; home: string; openssl: string } {
  return {
    java: found("activemq", JAVA),
    home: join(found("activemq", ACTIVEMQ), "../.."),
    openssl: found("activemq", OPENSSL),
  };
}

/** Returns the path of the browser for the browser tests. */
export function chromiumProgram(): string {
  const path = CHROMIUM.find();
  if (path !== undefined) return path;
  throw new Error(
    `Cannot run a page: this machine has no ${CHROMIUM.what}; ` +
      `on Debian, run "apt-get install ${CHROMIUM.package}" as root`,
  );
}

/**
 * Installs what the brokers lack, and for RabbitMQ the browser that connects to it. Does nothing unless it runs as root on
 * Debian.
 */
export async function installBrokers(names: readonly BrokerName[], log: (line: string) => void): Promise<void> {
  const all = names.flatMap((name) => name === "rabbitmq" ? [...NEEDS[name], CHROMIUM] : NEEDS[name]);
  const needs = all.filter((need) => need.find() === undefined);
  const packages = [...new Set(needs.map((need) => need.package))];
  if (packages.length === 0) return;
  const aptGet = onPath("apt-get");
  if (process.getuid?.() !== 0 || aptGet === undefined) return;
  log(`Installing Debian packages: ${packages.join(" ")}`);
  const begun = performance.now();
  const { code, output } = await shell(INSTALL, packages);
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  log(code === 0 ? `Installed in ${seconds} s` : `apt-get ended with code ${code}:\n${output.trim()}`);
}

/**
 * Debian's server packages start their servers. A `policy-rc.d` that exits with 101 prevents that during the installation;
 * an existing one stays as it is. This is a shell script so that the file is removed even if the test run is killed.
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
  // Debian has some programs in folders that only root's PATH contains.
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
