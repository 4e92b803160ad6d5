/**
 * The harness: real brokers on this machine, started and stopped by programs. For `deno task test:brokers` and for whoever
 * else wants to see what a real broker does.
 *
 * @module
 */
export { startActivemq } from "./activemq.ts";
export type { ActivemqOptions } from "./activemq.ts";
export { BROKER_NAMES } from "./broker.ts";
export type { BrokerDetails, BrokerName, HarnessDetails, HarnessOptions, RealBroker, TlsEndpoint } from "./broker.ts";
export { adviceFor, installBrokers, missingFor } from "./install.ts";
export { startRabbitmq } from "./rabbitmq.ts";
export type { RabbitmqBroker, RabbitmqOptions } from "./rabbitmq.ts";
export { startRabbitmqCluster } from "./rabbitmq_cluster.ts";
export type { ClusterNode, RabbitmqCluster } from "./rabbitmq_cluster.ts";
