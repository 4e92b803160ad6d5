/**
 * Brings what the brokers need to this machine if possible, and otherwise says how to get it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";

/** A program or a file that a broker needs. */
export interface Need {
  /** What to call it in a message when it is missing. */
  readonly what: string;
  /** Returns its path, if it is there. */
  find(): string | undefined;
  /** The Debian package that contains it. */
  readonly package?: string | undefined;
  /** Brings it to this machine, where that is not by a package. Does nothing where it is impossible. */
  bring?(log: (line: string) => void): Promise<void>;
  /** How a person gets it, where that is not by a package, as the end of a sentence. */
  readonly advice?: string | undefined;
}

/** Makes the certificates of every broker. */
export const OPENSSL: Need = { package: "openssl", what: "openssl", find: () => onPath("openssl") };

/** Runs the brokers that are written in Java. */
export const JAVA: Need = { package: "default-jre-headless", what: "java", find: () => onPath("java") };

/** The browser that connects to RabbitMQ. */
export const CHROMIUM: Need = {
  package: "chromium",
  what: "chromium",
  find: () => ["chromium", "chromium-browser", "google-chrome"].map(onPath).find((path) => path !== undefined),
};

/** Returns the names of what this machine lacks. */
export function missing(needs: readonly Need[]): string[] {
  return needs.filter((need) => need.find() === undefined).map((need) => need.what);
}

/**
 * Returns an error message that says what is missing and how to get it.
 *
 * @param variable is the environment variable that names a running broker.
 */
export function adviceFor(broker: string, needs: readonly Need[], variable: string): string {
  const lacking = needs.filter((need) => need.find() === undefined);
  const packages = [...new Set(lacking.map((need) => need.package).filter((name) => name !== undefined))];
  const ways = [
    ...packages.length > 0 ? [`on Debian, run "apt-get install ${packages.join(" ")}" as root`] : [],
    ...new Set(lacking.map((need) => need.advice).filter((advice) => advice !== undefined)),
    `or set ${variable} to a running broker`,
  ];
  return `Cannot start ${broker}: this machine has no ${missing(lacking).join(", no ")}; ${ways.join(", ")}`;
}

/**
 * Returns the path of what a broker needs.
 *
 * @throws {Error} when it is missing.
 */
export function found(need: Need): string {
  const path = need.find();
  if (path === undefined) throw new Error(`Cannot find ${need.what} on this machine`);
  return path;
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

/** Brings what is missing: packages as root on Debian, and then everything else, one at a time. */
export async function bringAll(needs: readonly Need[], log: (line: string) => void): Promise<void> {
  const lacking = [...new Set(needs)].filter((need) => need.find() === undefined);
  await installPackages(lacking.map((need) => need.package).filter((name) => name !== undefined), log);
  for (const need of lacking) await need.bring?.(log);
}

/** Installs Debian packages. Does nothing unless it runs as root on Debian. */
async function installPackages(names: readonly string[], log: (line: string) => void): Promise<void> {
  const packages = [...new Set(names)];
  if (packages.length === 0) return;
  const aptGet = onPath("apt-get");
  if (process.getuid?.() !== 0 || aptGet === undefined) return;
  log(`Installing Debian packages: ${packages.join(" ")}`);
  const begun = performance.now();
  const { code, output } = await runShell(INSTALL, packages);
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

/** Runs a shell script and resolves to its exit code, which is `null` if it was killed, and to all that it printed. */
export function runShell(script: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
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

/** Returns the path of a program, or `undefined` if it is not installed. */
export function onPath(program: string): string | undefined {
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
