/**
 * The list of all faults.
 *
 * @module
 */
import type { Fault } from "./fault.ts";
import { BASE_FAULTS } from "./faults_base.ts";
import { BROKER_FAULTS } from "./faults_broker.ts";
import { CLI_FAULTS } from "./faults_cli.ts";
import { CLIENT_FAULTS } from "./faults_client.ts";
import { CODEC_FAULTS } from "./faults_codec.ts";
import { CONNECTION_FAULTS } from "./faults_connection.ts";
import { DIALECTS_FAULTS } from "./faults_dialects.ts";
import { FAILURES_FAULTS } from "./faults_failures.ts";
import { SESSION_FAULTS } from "./faults_session.ts";
import { TRANSPORT_FAULTS } from "./faults_transport.ts";

/** All faults, from the lowest layer to the highest. */
export const FAULTS: readonly Fault[] = [
  ...BASE_FAULTS,
  ...CODEC_FAULTS,
  ...TRANSPORT_FAULTS,
  ...CONNECTION_FAULTS,
  ...DIALECTS_FAULTS,
  ...SESSION_FAULTS,
  ...FAILURES_FAULTS,
  ...CLIENT_FAULTS,
  ...BROKER_FAULTS,
  ...CLI_FAULTS,
];
