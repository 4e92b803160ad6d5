/** `setInspect()`: what is printed for frames and errors is useful, and never has a passcode. */
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

/** All texts that this runtime prints for a value, shallow and deep. */
function printed(value: unknown): string[] {
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

test("a printed frame has its command and headers, and no passcode", () => {
  for (const frame of connectFrames()) {
    const texts = printed(frame);
    texts.splice(1, 1);
    for (const text of texts) {
      assertEquals(text.includes(SECRET), false, text);
      assertStringIncludes(text, "CONNECT");
      assertStringIncludes(text, "login");
    }
    assertEquals(frame.headers["passcode"], SECRET);
  }
});

test("a printed object that holds a frame has no passcode", () => {
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
      for (const text of printed(holder)) assertEquals(text?.includes(SECRET) ?? false, false, text);
    }
  }
});

test("a printed decoder has no passcode in the middle of a frame", () => {
  const wire = octets(`CONNECT\npasscode:${SECRET}\nx:y`);
  const decoder = new FrameDecoder({ onFrame: () => {} });
  decoder.push(wire);
  for (const text of printed(decoder)) assertEquals(text.includes(SECRET), false, text);
  for (const text of printed(new FrameDecoderStream())) assertEquals(text.includes(SECRET), false, text);
});

test("a printed frame has only the beginning of a large body", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/q" }, body: "é".repeat(10_000) });
  assert(inspect(frame).length < 300);
  assertStringIncludes(inspect(frame), "(20000 bytes)");
  assertStringIncludes(inspect(frame), "/q");
});

test("a printed `BrokerErrorResponse` quotes the broker, without the body of its frame", () => {
  const body = "first line\nsecond line";
  const error = new BrokerErrorResponse(new Frame().buildFrame({ command: "ERROR", body }));
  assertEquals([error.frame?.text(), Object.keys(error).includes("frame")], [body, false]);
  for (const text of [inspect(error), `${error.stack}`, JSON.stringify(error)]) {
    assertEquals(text.includes("second line"), false, text);
  }
});

test("`JSON.stringify()` of a frame has command, headers and body", () => {
  const frame = new Frame().buildFrame({ command: "SEND", headers: { a: "1" }, body: "hi" });
  assertEquals(JSON.parse(JSON.stringify(frame)), { command: "SEND", headers: { a: "1" }, body: "hi" });
});

test("`console.log()` of a frame prints no passcode", async () => {
  const program = `import { Frame } from ${JSON.stringify(new URL("../../codec/frame.ts", import.meta.url).href)};
    const frame = new Frame().buildFrame({ command: "CONNECT", headers: { login: "me", passcode: "${SECRET}" } });
    console.log(frame, { frame }, [frame]); console.error(frame); console.dir(frame, { depth: 9, showHidden: true });`;
  const args = { deno: ["eval", program], bun: ["-e", program], node: ["--input-type=module", "-e", program] }[runtime];
  const { ok, output } = await run(process.execPath, args, { timeout: 20_000 });
  assert(ok, output);
  assertStringIncludes(output, "login");
  assertEquals(output.includes(SECRET), false, output);
});
