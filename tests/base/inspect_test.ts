/** What is shown of frames and errors: enough to work with, and no passcode, anywhere. */
import { assert, assertEquals, assertStringIncludes } from "#assert";
import { test } from "#test";
import process from "node:process";
import { inspect } from "node:util";
import { FrameDecoder, FrameDecoderStream } from "../../codec/decoder.ts";
import { BrokerErrorResponse, UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { octets } from "../fixtures/decoding.ts";
import { run } from "../support/process.ts";
import { runtime } from "../support/runtime.ts";

const SECRET = "hunter2";

type Inspector = (value: unknown, options?: Record<string, unknown>) => string;

/** What shows a value in this runtime, as shallow and as deep as it can. */
function shown(value: unknown): string[] {
  const globals = globalThis as unknown as Record<string, { inspect?: Inspector }>;
  const own = globals["Deno"]?.inspect ?? globals["Bun"]?.inspect;
  return [
    JSON.stringify(value),
    `${value}`,
    inspect(value),
    inspect(value, { depth: Infinity, showHidden: true, getters: true, compact: false }),
    ...(own ? [own(value), own(value, { depth: 100, showHidden: true, getters: true })] : []),
  ];
}

function connectFrames(): Frame[] {
  const parts = { command: "CONNECT", headers: { login: "me", passcode: SECRET } };
  const seen: Frame[] = [];
  const decoder = new FrameDecoder({ onFrame: (frame) => seen.push(frame) });
  for (let i = 0; i < 3; i++) decoder.push(new Frame().buildFrame(parts).encode());
  for (const octet of new Frame().buildFrame(parts).encode()) decoder.push(Uint8Array.of(octet));
  seen[0]!.headers;
  seen[1]!.detach();
  return [new Frame().buildFrame(parts), ...seen];
}

test("a frame shows its command, headers and body, and no passcode", () => {
  for (const frame of connectFrames()) {
    const texts = shown(frame);
    texts.splice(1, 1);
    for (const text of texts) {
      assertEquals(text.includes(SECRET), false, text);
      assertStringIncludes(text, "CONNECT");
      assertStringIncludes(text, "login");
    }
    assertEquals(frame.headers["passcode"], SECRET);
  }
});

test("nothing that holds such a frame shows the passcode", () => {
  for (const frame of connectFrames()) {
    const holders = [
      [frame],
      { deep: { deeper: { deepest: { frame } } } },
      new Map([["frame", frame]]),
      new BrokerErrorResponse(frame),
      new UnknownBrokerResponseError("x", { frame }),
      new Error("x", { cause: new BrokerErrorResponse(frame) }),
    ];
    for (const holder of holders) {
      for (const text of shown(holder)) assertEquals(text?.includes(SECRET) ?? false, false, text);
    }
  }
});

test("nor does a decoder that is in the middle of one", () => {
  const wire = octets(`CONNECT\npasscode:${SECRET}\nx:y`);
  const decoder = new FrameDecoder({ onFrame: () => {} });
  decoder.push(wire);
  for (const text of shown(decoder)) assertEquals(text.includes(SECRET), false, text);
  for (const text of shown(new FrameDecoderStream())) assertEquals(text.includes(SECRET), false, text);
});

test("a large body is not shown whole", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" }, body: "é".repeat(10_000) });
  assert(inspect(frame).length < 300);
  assertStringIncludes(inspect(frame), "(20000 bytes)");
  assertStringIncludes(inspect(frame), "/q");
});

test("an error shows what the broker said, and not the body of its frame", () => {
  const body = "first line\nsecond line";
  const error = new BrokerErrorResponse(new Frame().buildFrame({ command: "ERROR", body }));
  assertEquals([error.frame?.text(), Object.keys(error).includes("frame")], [body, false]);
  for (const text of [inspect(error), `${error.stack}`, JSON.stringify(error)]) {
    assertEquals(text.includes("second line"), false, text);
  }
});

test("JSON.stringify gives command, headers and body", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { a: "1" }, body: "hi" });
  assertEquals(JSON.parse(JSON.stringify(frame)), { command: "SEND", headers: { a: "1" }, body: "hi" });
});

test("console.log of a frame shows no passcode", async () => {
  const program = `import { Frame } from ${JSON.stringify(new URL("../../codec/frame.ts", import.meta.url).href)};
    const frame = new Frame().buildFrame({ command: "CONNECT", headers: { login: "me", passcode: "${SECRET}" } });
    console.log(frame, { frame }, [frame]); console.error(frame); console.dir(frame, { depth: 9, showHidden: true });`;
  const args = { deno: ["eval", program], bun: ["-e", program], node: ["--input-type=module", "-e", program] }[runtime];
  const { ok, output } = await run(process.execPath, args, { timeout: 20_000 });
  assert(ok, output);
  assertStringIncludes(output, "login");
  assertEquals(output.includes(SECRET), false, output);
});
