/**
 * The programs of each RabbitMQ: 3.10 from the packages of Debian 12, and newer ones from those of other releases of
 * Debian, unpacked into a folder.
 *
 * @module
 */
import { globSync } from "node:fs";
import { dirname, join } from "node:path";
import { treeNeeds } from "./debian_tree.ts";
import { found, type Need, onPath, OPENSSL } from "./install.ts";

/** A release of RabbitMQ that the harness can start. */
export type RabbitmqRelease = "3.10" | "4.0" | "4.3";

/** All of them. */
export const RABBITMQ_RELEASES: readonly RabbitmqRelease[] = ["3.10", "4.0", "4.3"];

/** The paths of the programs that start RabbitMQ. */
export interface RabbitmqPrograms {
  /** `rabbitmq-server`. */
  readonly server: string;
  /** `rabbitmqctl`. */
  readonly ctl: string;
  /** Erlang's port mapper. */
  readonly epmd: string;
  /** Makes the certificates. */
  readonly openssl: string;
}

/** The release of Debian that has it. */
const SUITES: Record<RabbitmqRelease, string> = { "3.10": "bookworm", "4.0": "trixie", "4.3": "forky" };

/** What each needs. */
export const RABBITMQ_NEEDS: Record<RabbitmqRelease, readonly Need[]> = {
  "3.10": [...treeFor("3.10"), OPENSSL],
  "4.0": [...treeFor("4.0"), OPENSSL],
  "4.3": [...treeFor("4.3"), OPENSSL],
};

/**
 * Returns the paths of the programs.
 *
 * @throws {Error} when one is missing.
 */
export function rabbitmqPrograms(release: RabbitmqRelease): RabbitmqPrograms {
  const openssl = found(OPENSSL);
  const own = ownServer(release);
  const epmd = onPath("epmd");
  if (own !== undefined && epmd !== undefined) return { ...pathsIn(dirname(own)), epmd, openssl };
  const folder = dirname(found(RABBITMQ_NEEDS[release][1]!));
  return { ...pathsIn(folder), epmd: join(folder, "epmd"), openssl };
}

function pathsIn(folder: string): Pick<RabbitmqPrograms, "server" | "ctl"> {
  return { server: join(folder, "rabbitmq-server"), ctl: join(folder, "rabbitmqctl") };
}

/** Returns the path of the machine's own RabbitMQ, if it is of this release. */
function ownServer(release: RabbitmqRelease): string | undefined {
  // Not the programs in /usr/sbin: run as root, those change to the user `rabbitmq`, who may not read the test's folder.
  return globSync(`/usr/lib/rabbitmq/lib/rabbitmq_server-${release}.*/sbin/rabbitmq-server`).sort().at(-1);
}

function treeFor(release: RabbitmqRelease): readonly Need[] {
  const server = `usr/lib/rabbitmq/lib/rabbitmq_server-${release}.*/sbin/rabbitmq-server`;
  const needs = treeNeeds({
    name: `rabbitmq-${release}`,
    suite: SUITES[release],
    package: "rabbitmq-server",
    proof: server,
    programs: (path) => [path, join(dirname(path), "rabbitmqctl"), "/usr/bin/epmd"],
  }, "rabbitmq-server");
  return needs.map((need) => ({ ...need, find: () => ownServer(release) ?? need.find() }));
}
