/** The two streams: order, errors after the frames before them, back-pressure, and the end of both sides. */
import { assertEquals, assertLessOrEqual, assertRejects, assertStrictEquals, assertThrows } from "#assert";
import { test } from "#test";
import { FrameDecoderStream, FrameEncoderStream } from "../../codec/decoder.ts";
import { UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";
import { latin1, octets, splits } from "../fixtures/decoding.ts";

const message = (body: string) => `MESSAGE\n\n${body}\0`;

/** The bodies of the frames of a stream, and the error that it ended with. */
async function drain(frames: ReadableStream<Frame>): Promise<{ bodies: string[]; error: unknown }> {
  const bodies: string[] = [];
  try {
    for await (const frame of frames) bodies.push(frame.text());
  } catch (error) {
    return { bodies, error };
  }
  return { bodies, error: undefined };
}

/** A stream of some items. */
function streamOf<T>(items: readonly T[]): ReadableStream<T> {
  const left = items.values();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = left.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** A stream of chunks. */
function source(...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> {
  return streamOf(chunks.map((chunk) => typeof chunk === "string" ? octets(chunk) : chunk));
}

test("`FrameDecoderStream` returns the frames of its chunks at every split", async () => {
  for (const chunks of splits(octets(`\n${message("a")}\n${message("b")}${message("")}`))) {
    assertEquals(await drain(source(...chunks).pipeThrough(new FrameDecoderStream())), {
      bodies: ["a", "b", ""],
      error: undefined,
    });
  }
});

test("`FrameDecoderStream` ends without a frame for input without one", async () => {
  for (const chunks of [[], [""], ["\n", "\n\n"]]) {
    assertEquals(await drain(source(...chunks).pipeThrough(new FrameDecoderStream())), {
      bodies: [],
      error: undefined,
    });
  }
});

test("`FrameDecoderStream` errors after the frames before a fault", async () => {
  for (
    const chunks of [[message("a") + message("b") + message("c") + "FOO\n"], [
      message("a") + message("b"),
      message("c"),
      "FOO",
    ]]
  ) {
    const { bodies, error } = await drain(source(...chunks).pipeThrough(new FrameDecoderStream()));
    assertEquals([bodies, error instanceof UnknownBrokerResponseError], [["a", "b", "c"], true]);
  }
});

test("`FrameDecoderStream` errors when the input ends inside a frame, after the frames before", async () => {
  for (const rest of ["M", "MESSAGE\n", "MESSAGE\n\n", "MESSAGE\n\nx", "MESSAGE\ncontent-length:1\n\nx"]) {
    const { bodies, error } = await drain(
      source(message("a") + message("b") + rest).pipeThrough(new FrameDecoderStream()),
    );
    assertEquals(bodies, ["a", "b"]);
    assertEquals((error as Error).message, "Cannot decode frame: the input ended inside a frame");
    assertEquals(error instanceof UnknownBrokerResponseError, true);
  }
});

test("`FrameDecoderStream.writable` errors at a fault", async () => {
  const { readable, writable } = new FrameDecoderStream();
  const writer = writable.getWriter();
  const reader = readable.getReader();
  const closed = assertRejects(() => writer.closed, UnknownBrokerResponseError);
  writer.write(octets("FOO\n")).catch(() => {});
  await assertRejects(() => reader.read(), UnknownBrokerResponseError);
  await closed;
  await assertRejects(() => writer.write(octets(message("a"))), UnknownBrokerResponseError);
  await assertRejects(() => reader.closed, UnknownBrokerResponseError);
});

test("`FrameDecoderStream` takes the options of `FrameDecoder`", async () => {
  let beats = 0;
  class Special extends Frame {}
  const options = { version: "1.0", maxBodyBytes: 5, onHeartbeat: () => beats++, messageType: Special } as const;
  const frames: Frame[] = [];
  for await (const frame of source("\nMESSAGE\na: \\n\n\nhello\0\n").pipeThrough(new FrameDecoderStream(options))) {
    frames.push(frame);
  }
  assertEquals([frames.map((frame) => frame.headers["a"]), beats, frames[0] instanceof Special], [["\\n"], 2, true]);
  const { error } = await drain(source(message("hello!")).pipeThrough(new FrameDecoderStream(options)));
  assertEquals(error instanceof UnknownBrokerResponseError, true);
  assertThrows(() => new FrameDecoderStream({ version: "3" as Version }), TypeError);
  assertThrows(() => new FrameDecoderStream({ maxHeaders: -1 }), RangeError);
});

test("`FrameDecoderStream` errors with what `onHeartbeat` throws, after the frames of the chunk", async () => {
  const failure = new Error("no beat");
  const stream = new FrameDecoderStream({
    onHeartbeat: () => {
      throw failure;
    },
  });
  const { bodies, error } = await drain(source(message("a") + "\n" + message("b")).pipeThrough(stream));
  assertEquals(bodies, ["a", "b"]);
  assertStrictEquals(error, failure);
});

test("`FrameDecoderStream` applies back-pressure: it takes chunks as frames are read", async () => {
  let taken = 0;
  const chunks = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(octets(message(`${++taken}`)));
      if (taken === 1000) controller.close();
    },
  }, { highWaterMark: 0 });
  const reader = chunks.pipeThrough(new FrameDecoderStream()).getReader();
  for (let i = 1; i <= 3; i++) assertEquals((await reader.read()).value!.text(), `${i}`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertLessOrEqual(taken, 8);
  await reader.cancel();
});

test("`FrameDecoderStream` passes cancel to the source and abort to the reader", async () => {
  const reason = new Error("enough");
  let cancelled: unknown;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(octets(message("a"))),
    cancel: (why) => void (cancelled = why),
  });
  const reader = endless.pipeThrough(new FrameDecoderStream()).getReader();
  await reader.read();
  await reader.cancel(reason);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertStrictEquals(cancelled, reason);

  const { readable, writable } = new FrameDecoderStream();
  const waiting = readable.getReader().read().catch((error: unknown) => error);
  await writable.abort(reason);
  assertStrictEquals(await waiting, reason);
});

test("`FrameDecoderStream` errors with a TypeError on anything but a Uint8Array", async () => {
  const { error } = await drain(
    streamOf(["text" as unknown as Uint8Array]).pipeThrough(new FrameDecoderStream()),
  );
  assertEquals(error instanceof TypeError, true);
});

const send = (headers: Record<string, string>, body?: string) =>
  new Frame().buildFrame({ command: "SEND", headers, body });

async function encoded(frames: Frame[], version?: Version): Promise<{ wire: string[]; error: unknown }> {
  const wire: string[] = [];
  try {
    for await (const bytes of streamOf(frames).pipeThrough(new FrameEncoderStream(version))) {
      wire.push(latin1(bytes));
    }
  } catch (error) {
    return { wire, error };
  }
  return { wire, error: undefined };
}

test("`FrameEncoderStream` encodes each frame in its version", async () => {
  const frames = [send({ a: ":" }, "x"), send({ b: "1" })];
  assertEquals((await encoded(frames)).wire, ["SEND\na:\\c\ncontent-length:1\n\nx\0", "SEND\nb:1\n\n\0"]);
  assertEquals((await encoded(frames, "1.0")).wire, ["SEND\na::\ncontent-length:1\n\nx\0", "SEND\nb:1\n\n\0"]);
  assertThrows(() => new FrameEncoderStream("3" as Version), TypeError);
});

test("`FrameEncoderStream` errors with a TypeError on a frame that cannot be encoded, after the frames before", async () => {
  const { wire, error } = await encoded(
    [send({ a: "1" }), send({ a: "2" }), send({ a: "\n" }), send({ a: "4" })],
    "1.0",
  );
  assertEquals([wire, error instanceof TypeError], [["SEND\na:1\n\n\0", "SEND\na:2\n\n\0"], true]);
});

test("`FrameDecoderStream` decodes what `FrameEncoderStream` encodes", async () => {
  const bodies = Array.from({ length: 200 }, (_, i) => "é\n".repeat(i));
  const frames = bodies.map((body) => send({ "a:b": "\r\n\\" }, body));
  const through = streamOf(frames).pipeThrough(new FrameEncoderStream()).pipeThrough(
    new FrameDecoderStream(),
  );
  assertEquals(await drain(through), { bodies, error: undefined });
});
