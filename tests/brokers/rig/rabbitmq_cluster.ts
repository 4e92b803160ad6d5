/**
 * Three RabbitMQ nodes that are one broker, for queues that survive the death of a node.
 *
 * @module
 */
import { type RigOptions, USER } from "./broker.ts";
import { freePorts } from "./ports.ts";
import { RabbitmqNode, RabbitmqSite } from "./rabbitmq.ts";

/** One node of a cluster, in the hands of who started it. */
export interface ClusterNode {
  /** Its URLs. */
  readonly urls: Readonly<Record<"stomp" | "stomp+ssl" | "ws" | "wss", string>>;
  /** Its process id while it runs. */
  readonly pid: number | undefined;
  /** Ends it at once (SIGKILL). */
  kill(): Promise<void>;
  /** Starts it again, and waits until it answers; one that runs is stopped in order before. */
  restart(): Promise<void>;
}

/** A cluster of three nodes. */
export interface RabbitmqCluster extends AsyncDisposable {
  /** The nodes. */
  readonly nodes: readonly ClusterNode[];
  /** The authority of their certificates, PEM. */
  readonly caCerts: string[];
  /** The user of the URLs. */
  readonly username: string;
  /** Its password. */
  readonly password: string;
  /** Stops all of it and removes what there was of it. Idempotent. */
  stop(): Promise<void>;
}

const NAMES = ["one", "two", "three"];

/** Starts three nodes and waits until all of them answer. Takes about half a minute on two cores. */
export async function startRabbitmqCluster(options: RigOptions = {}): Promise<RabbitmqCluster> {
  const site = await RabbitmqSite.create("rabbitmq-cluster", options);
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
    // All at once: each waits for the others before it opens its ports.
    for (const node of nodes) node.launch();
    await Promise.all(nodes.map((node) => node.ready()));
  } catch (error) {
    await site.close();
    throw error;
  }
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.kill())); // nothing of it is kept, so nothing has to be in order
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
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
