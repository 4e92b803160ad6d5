/**
 * Starts a cluster of three RabbitMQ nodes, for queues that survive the failure of a node.
 *
 * @module
 */
import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { type HarnessOptions, USER } from "./broker.ts";
import { freePorts, onFreePorts } from "./ports.ts";
import { RabbitmqNode, RabbitmqSite } from "./rabbitmq.ts";
import type { RabbitmqRelease } from "./rabbitmq_programs.ts";

/** One node of a cluster, with what its starter needs to control it. */
export interface ClusterNode {
  /** Its URLs. */
  readonly urls: Readonly<Record<"stomp" | "stomp+ssl" | "ws" | "wss", string>>;
  /** Its process id while it runs. */
  readonly pid: number | undefined;
  /** Kills it (SIGKILL). */
  kill(): Promise<void>;
  /** Starts it again and waits until it answers, after stopping it if it runs. */
  restart(): Promise<void>;
}

/** A cluster of three nodes. */
export interface RabbitmqCluster extends AsyncDisposable {
  /** The nodes. */
  readonly nodes: readonly ClusterNode[];
  /** The certificate authority, in PEM. */
  readonly caCerts: string[];
  /** The user in the URLs. */
  readonly username: string;
  /** The password in the URLs. */
  readonly password: string;
  /**
   * Returns the index of the node that leads a quorum queue, according to a running node.
   *
   * @throws {Error} when no running node leads it within 30 s.
   */
  leaderOf(queue: string): Promise<number>;
  /** Stops all nodes and removes their files. Idempotent. */
  stop(): Promise<void>;
}

const NAMES = ["one", "two", "three"];

/** Starts three nodes and waits until all of them answer, which takes about 30 s on two cores. */
export async function startRabbitmqCluster(
  release: RabbitmqRelease,
  options: HarnessOptions = {},
): Promise<RabbitmqCluster> {
  const { site, nodes } = await onFreePorts(() => startNodes(release, options));
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.kill())); // nothing is kept, so there is no need to stop in order
    await site.close();
  };
  return {
    nodes: nodes.map((node) => ({
      urls: node.urls,
      get pid() {
        return node.pid;
      },
      kill: () => node.kill(),
      async restart() {
        await node.stop();
        await node.start();
      },
    })),
    caCerts: [site.certificates.ca],
    ...USER,
    leaderOf: (queue) => findLeader(site, nodes, queue),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function startNodes(
  release: RabbitmqRelease,
  options: HarnessOptions,
): Promise<{ site: RabbitmqSite; nodes: readonly RabbitmqNode[] }> {
  const site = await RabbitmqSite.create("rabbitmq-cluster", release, options);
  const config = `cluster_formation.peer_discovery_backend = classic_config
${NAMES.map((name, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${name}@localhost`).join("\n")}
cluster_formation.node_cleanup.only_log_warning = true
cluster_partition_handling = ignore
net_ticktime = 5
`;
  const nodes: RabbitmqNode[] = [];
  try {
    for (const name of NAMES) {
      nodes.push(new RabbitmqNode(site, name, await freePorts(RabbitmqNode.PORTS), config));
    }
    // All at once, because each waits for the others before it opens its ports.
    for (const node of nodes) node.launch();
    await Promise.all(nodes.map((node) => node.ready()));
    return { site, nodes };
  } catch (error) {
    await site.close();
    throw error;
  }
}

/** Milliseconds for the election of a queue's leader. */
const ELECTION_TIMEOUT_MS = 30_000;

/** Asks the running nodes in turn, because a node that has just started may not know the leader. */
async function findLeader(site: RabbitmqSite, nodes: readonly RabbitmqNode[], queue: string): Promise<number> {
  const end = performance.now() + ELECTION_TIMEOUT_MS;
  let last: unknown = "no running node knows of one";
  while (performance.now() < end) {
    for (const [index, node] of nodes.entries()) {
      if (node.pid === undefined) continue;
      try {
        const leader = await leaderFor(site, NAMES[index]!, queue);
        // A leader that has stopped is one that the others have not missed yet.
        if (nodes[leader]?.pid !== undefined) return leader;
      } catch (error) {
        last = error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`Cannot find the leader of ${queue}: ${last instanceof Error ? last.message : last}`);
}

/** Returns the index of the leader according to one node, or -1 if it knows none. */
async function leaderFor(site: RabbitmqSite, node: string, queue: string): Promise<number> {
  const args = ["--node", `${node}@localhost`, "--silent", "--formatter", "json", "list_queues", "name", "leader"];
  const { stdout } = await promisify(execFile)(site.found.ctl, args, {
    env: { ...process.env, ...site.env },
    timeout: 15_000,
  });
  const rows = JSON.parse(stdout) as { name: string; leader: string }[];
  const leader = rows.find(({ name }) => name === queue)?.leader;
  return NAMES.findIndex((name) => `${name}@localhost` === leader);
}
