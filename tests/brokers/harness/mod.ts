/**
 * The harness for real brokers: brings, starts and stops them on this machine. Used by `deno task test:brokers`,
 * `deno task chaos` and the benchmarks.
 *
 * @module
 */
export type { BrokerDetails, BrokerName, Capability, Family, HarnessDetails, RealBroker } from "./broker.ts";
export { startRabbitmqCluster } from "./rabbitmq_cluster.ts";
export type { ClusterNode, RabbitmqCluster } from "./rabbitmq_cluster.ts";
export { RABBITMQ_RELEASES } from "./rabbitmq_programs.ts";
export type { RabbitmqRelease } from "./rabbitmq_programs.ts";
export {
  BROKER_NAMES,
  chooseBrokers,
  FAMILIES,
  familiesOf,
  installBrokers,
  KEEPING_BROKERS,
  runningBroker,
  startBroker,
  TABLE,
} from "./table.ts";
