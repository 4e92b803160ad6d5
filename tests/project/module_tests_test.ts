/**
 * Where the tests of a module are: `<folder>/<name>.ts` is tested by `tests/<folder>/<name>_test.ts`, or listed below with
 * the files that test it.
 */
import { assertEquals, assertGreater } from "#assert";
import { test } from "#test";
import { files, LIBRARY } from "../support/project.ts";

/** Folders whose tests are in a folder of another name: `tests/brokers/` is for real brokers. */
const TEST_FOLDERS: Record<string, string> = { broker: "embedded_broker" };

/** The modules without a test file of the same name: the test files that cover them, below `tests/`, and why these. */
const TESTED_ELSEWHERE: Record<string, { by: string[]; why: string }> = {
  "base/checks.ts": { by: ["api/arguments"], why: "what counts is that each call uses them" },
  "base/errors.ts": { by: ["base/inspect", "api/secrets"], why: "classes with no logic except how they print" },
  "broker/core.ts": {
    by: ["connect", "disconnect", "send", "subscribe", "transaction", "model"].map((name) => `embedded_broker/${name}`),
    why: "a file for each group of frames, named as the conformance checklist has them",
  },
  "broker/peer.ts": { by: ["embedded_broker/disconnect", "embedded_broker/flow_control"], why: "seen by its peers" },
  "broker/store.ts": { by: ["embedded_broker/send", "embedded_broker/disconnect"], why: "seen as routing and limits" },
  "broker/stored_message.ts": { by: ["embedded_broker/queue", "embedded_broker/send"], why: "seen in queues" },
  "client/consumer.ts": { by: ["client/subscription", "client/ack_tracker"], why: "the inside of a subscription" },
  "api/core.ts": {
    by: ["api/stomp", "api/shutdown", "api/shutdown_drain"],
    why: "`Stomp` is its only user",
  },
  "client/connection_options.ts": { by: ["client/dialer", "api/arguments"], why: "types and defaults" },
  "client/message.ts": { by: ["client/subscription", "client/ack_tracker"], why: "messages come from subscriptions" },
  "client/options.ts": { by: ["api/arguments"], why: "types and defaults" },
  "client/pending_send.ts": { by: ["client/outbox"], why: "an entry of the outbox" },
  "client/transaction_registry.ts": { by: ["client/transaction"], why: "transactions come from the registry" },
  "client/browsing_consumer.ts": { by: ["client/browse"], why: "named by what it does" },
  "dialects/browsing.ts": { by: ["client/browse"], why: "headers of a subscription that browses" },
  "dialects/stream.ts": { by: ["work/stream"], why: "what a broker is asked for shows in its SUBSCRIBE" },
  "work/stream_end.ts": { by: ["work/stream"], why: "the beginning of a stream from its end" },
  "session/unsubscribe.ts": {
    by: ["client/subscription", "client/subscribe_request"],
    why: "seen where a subscription ends",
  },
  "codec/encoder.ts": { by: ["codec/frame", "connection/write_buffer"], why: "they show what is written" },
  "codec/frame_view.ts": { by: ["codec/frame", "codec/decoder"], why: "part of `Frame`" },
  "codec/head_parser.ts": { by: ["codec/decoder", "codec/head_cache"], why: "part of the decoder" },
  "codec/head_template.ts": { by: ["codec/head_cache"], why: "the cache is the only user" },
  "codec/limits.ts": { by: ["codec/decoder"], why: "options of the decoder" },
  "codec/mask.ts": { by: ["api/secrets"], why: "secrets count where they could show" },
  "codec/partial_frame.ts": { by: ["codec/body", "codec/decoder_splits"], why: "part of the decoder" },
  "codec/protocol.ts": { by: ["codec/decoder", "codec/headers"], why: "constants" },
  "dialects/activemq.ts": { by: ["dialects/dialect"], why: "the same tests for every broker" },
  "dialects/checks.ts": { by: ["api/arguments"], why: "what counts is that each call uses them" },
  "dialects/embedded.ts": { by: ["dialects/dialect", "session/error_frames"], why: "the same tests for every broker" },
  "dialects/rabbitmq.ts": { by: ["dialects/dialect", "session/error_frames"], why: "the same tests for every broker" },
  "dialects/unknown.ts": { by: ["dialects/dialect", "dialects/registry"], why: "the same tests for every broker" },
  "session/open_socket.ts": { by: ["codec/frame_verbs", "client/websocket"], why: "the verbs of `Frame` use it" },
  "session/raw_frames.ts": { by: ["codec/frame_verbs_socket", "session/session"], why: "the verbs of `Frame` use it" },
  "transport/bun.ts": { by: ["transport/transport", "transport/tls"], why: "the same tests for every adapter" },
  "transport/deno.ts": { by: ["transport/transport", "transport/tls"], why: "the same tests for every adapter" },
  "transport/stream_io.ts": { by: ["transport/custom"], why: "custom transports are its only users" },
  "transport/node.ts": { by: ["transport/transport", "transport/tls"], why: "the same tests for every adapter" },
};

/** Returns the test file of the same name, whether or not it exists. */
function ownTest(module: string): string {
  const [folder = "", name = ""] = module.replace(/\.ts$/, "").split("/");
  return `tests/${TEST_FOLDERS[folder] ?? folder}/${name}_test.ts`;
}

const MODULES = files(...LIBRARY).filter((path) => path.includes("/"));
const hasFile = (path: string) => files(path).length === 1;

test("each module has a test file of the same name or is listed in `TESTED_ELSEWHERE`", () => {
  assertGreater(MODULES.length, 0);
  const untested = MODULES.filter((module) => !hasFile(ownTest(module)) && TESTED_ELSEWHERE[module] === undefined);
  assertEquals(untested, []);
});

test("`TESTED_ELSEWHERE` lists only modules that have no test file of the same name", () => {
  const stale = Object.keys(TESTED_ELSEWHERE).filter((module) => !MODULES.includes(module) || hasFile(ownTest(module)));
  assertEquals(stale, []);
});

test("`TESTED_ELSEWHERE` names at least one test file for each module, and all of them exist", () => {
  const wrong = Object.entries(TESTED_ELSEWHERE).filter(([, { by }]) =>
    by.length === 0 || by.some((name) => !hasFile(`tests/${name}_test.ts`))
  );
  assertEquals(wrong.map(([module]) => module), []);
});
