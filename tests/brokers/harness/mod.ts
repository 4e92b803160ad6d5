/**
 * The harness for real brokers: starts and stops RabbitMQ and ActiveMQ on this machine. Used by `deno task test:brokers`,
 * `deno task chaos` and the benchmarks.
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
