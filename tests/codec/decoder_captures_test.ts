/** Captures: what real brokers sent is decoded to the frames that were provoked; see fixtures/captures/README.md. */
import { assert, assertArrayIncludes, assertEquals } from "#assert";
import { test } from "#test";
import { readFileSync } from "node:fs";
import { headerRules, unescapeHeader } from "../../codec/headers.ts";
import { decode, followVersion, makeDecoder, type Outcome, type PlainFrame } from "../fixtures/decoding.ts";
import { files, inRoot, readText } from "../support/project.ts";

const FOLDER = "tests/fixtures/captures";

/** A line of the index. */
interface Capture {
  name: string;
  sent: string[];
  end: string;
  frames: PlainFrame[];
  heartbeats: number;
  refused?: string;
}

const CAPTURES = readText(`${FOLDER}/index.jsonl`).trim().split("\n").map((line) => JSON.parse(line) as Capture);

function read(name: string): Uint8Array {
  return new Uint8Array(readFileSync(inRoot(FOLDER, `${name}.bin`)));
}

/** Long bodies are cut in the index. */
function cut([command, headers, body]: PlainFrame): PlainFrame {
  return [command, headers, body.length > 100 ? `${body.slice(0, 60)}… (${body.length} octets)` : body];
}

test("captures: the index lists every file, and nothing else", () => {
  const names = files(`${FOLDER}/**/*.bin`).map((path) => path.slice(FOLDER.length + 1, -".bin".length));
  assertEquals(CAPTURES.map(({ name }) => name).sort(), names);
});

for (const broker of ["activemq", "rabbitmq"]) {
  const captures = CAPTURES.filter(({ name }) => name.startsWith(broker));

  test(`\`FrameDecoder\` decodes the captures of ${broker} to the frames that were provoked`, () => {
    for (const { name, frames, heartbeats, refused } of captures) {
      const outcome = decode([read(name)], { onFrame: followVersion });
      const expected: Outcome = { frames, heartbeats, error: refused !== undefined, pending: false };
      assertEquals({ ...outcome, frames: outcome.frames.map(cut) }, expected, name);
    }
  });

  test(`F12-06 \`FrameDecoder\` decodes the captures of ${broker} alike at every split`, () => {
    for (const { name } of captures) {
      const bytes = read(name);
      const expected = digest([bytes]);
      for (let at = 1; at < bytes.length; at++) {
        const [left, right] = [bytes.subarray(0, at), bytes.subarray(at)];
        assert(digest([left, right]) === expected, `${name} at ${at}`);
      }
      assertEquals(digest(Array.from(bytes, (byte) => Uint8Array.of(byte))), expected, name);
    }
  });

  test(`captures: each RECEIPT of ${broker} answers a receipt that was asked for`, () => {
    const rules = headerRules("MESSAGE", "1.2");
    for (const { name, sent, frames } of captures) {
      if (sent.some((frame) => frame.endsWith(" octets)"))) continue; // what was asked for may be in the part cut off
      const receipts = sent.flatMap((frame) => [...frame.matchAll(/\nreceipt:(.*)\n/g)].map(([, id]) => id!));
      const asked = receipts.map((id) => unescapeHeader(id, rules));
      for (const [command, headers] of frames) {
        if (command === "RECEIPT") assertArrayIncludes(asked, [headers["receipt-id"]], name);
      }
    }
  });
}

test("F12-46 `Frame.encode()` of a received frame decodes to the same frame", () => {
  for (const { name } of CAPTURES) {
    const again: Uint8Array[] = [];
    const seen = decode([read(name)], {
      onFrame: (frame, decoder) => {
        again.push(frame.encode(decoder.version));
        followVersion(frame, decoder);
      },
    });
    const { frames, error } = decode(again, { onFrame: followVersion });
    assertEquals([frames.map(withoutLength), error], [seen.frames.map(withoutLength), false], name);
  }
});

/** Frames that are sent again have the `content-length` that some brokers leave out. */
function withoutLength([command, headers, body]: PlainFrame): PlainFrame {
  const { ["content-length"]: _, ...rest } = headers;
  return [command, rest, body];
}

/** What came of decoding, as one short text: comparing thousands of outcomes in depth would take minutes. */
function digest(chunks: Uint8Array[]): string {
  let text = "";
  const decoder = makeDecoder({
    onFrame: (frame) => {
      text += `${frame.command}${JSON.stringify(frame.headers)}${frame.text()}\0`;
      followVersion(frame, decoder);
    },
    onHeartbeat: () => text += "\n",
  });
  try {
    for (const chunk of chunks) decoder.push(chunk);
  } catch (error) {
    text += error;
  }
  return text + decoder.pending;
}
