/** Control characters from a broker reach neither errors nor the terminal. */
import { assertEquals, assertInstanceOf, assertMatch } from "#assert";
import { test } from "#test";
import { main } from "../../cli/main.ts";
import { StompError } from "../../mod.ts";
import { showControls } from "../../base/errors.ts";
import { clientTest } from "../support/client_harness.ts";
import { confirm, message } from "../support/raw_server.ts";

/** A window title, a cleared screen, a colour by a C1 code, right-to-left text, and line breaks. */
const EVIL = "a\x1b]0;pwned\x07\x1b[2Jb\x9b31m\u202ec\u2066\u200f\u061c\u2028d\x7f\x85";
const SHOWN = String.raw`a\x1b]0;pwned\x07\x1b[2Jb\x9b31m\u202ec\u2066\u200f\u061c\u2028d\x7f\x85`;

// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

test("`showControls()` escapes control characters and keeps all other text", () => {
  assertEquals(showControls(EVIL), SHOWN);
  const text = "Zugriff verweigert für „guest“: 日本語 😀 עברית \\x1b";
  assertEquals(showControls(text), text);
  assertEquals(showControls("a\r\n\tb\0"), String.raw`a\r\n\tb\x00`);
});

test("`StompError` has no control characters in its message", () => {
  assertEquals(new StompError(`Cannot connect to h:1: ${EVIL}`).message, `Cannot connect to h:1: ${SHOWN}`);
});

/** Answers of a broker to CONNECT. */
const ANSWERS: [name: string, answer: string][] = [
  ["the message of ERROR", `ERROR\nmessage:${EVIL}\n\n\0`],
  ["the body of ERROR", `ERROR\n\n${EVIL}\0`],
  ["the version of CONNECTED", `CONNECTED\nversion:${EVIL}\n\n\0`],
  ["the heart-beat of CONNECTED", `CONNECTED\nversion:1.2\nheart-beat:${EVIL}\n\n\0`],
  ["an answer that is not STOMP", `${EVIL}\n\n\0`],
  ["a content-length", `ERROR\ncontent-length:${EVIL}\n\n\0`],
];

for (const [name, answer] of ANSWERS) {
  clientTest(`control characters in ${name} reach neither an error's message nor the command line`, async (harness) => {
    const server = await harness.server();
    const refused = harness.client(server.url, { reconnect: false }).connect().catch((error) => error);
    await (await server.accept()).write(answer);
    const error = await refused;
    assertInstanceOf(error, StompError);
    assertEquals(CONTROLS.test(error.message), false, JSON.stringify(error.message));
    assertMatch(error.message, /\\x1b|\\u001b/);

    const lines: string[] = [];
    const note = (line: string) => void lines.push(line);
    const code = main(["demo", "--url", server.url], { print: note, printError: note });
    await (await server.accept()).write(answer);
    assertEquals(await code, 1);
    assertEquals(lines.length, 1, JSON.stringify(lines));
    assertEquals(CONTROLS.test(lines[0]!), false, JSON.stringify(lines[0]));
  });
}

clientTest("`demo` prints the name of a server without control characters", async (harness) => {
  const server = await harness.server();
  const lines: string[] = [];
  const note = (line: string) => void lines.push(line);
  const code = main(["demo", "--url", server.url, "--count", "1"], { print: note, printError: note });
  const producer = await server.welcome("1.2", `server:RabbitMQ/3.10.8 ${EVIL}\n`);
  const consumer = await server.welcome("1.2", `server:RabbitMQ/3.10.8 ${EVIL}\n`);
  const id = (await confirm(consumer, "SUBSCRIBE")).get("id")!;
  const { body } = await confirm(producer, "SEND");
  await consumer.write(message(id, "1").replace(/1\0$/, `${body}\0`));
  await consumer.frame("ACK");
  for (const peer of [consumer, producer]) while ((await confirm(peer)).command !== "DISCONNECT");
  assertEquals(await code, 0);
  for (const line of lines) assertEquals(CONTROLS.test(line), false, JSON.stringify(line));
  assertMatch(lines.join(" "), /Broker +RabbitMQ\/3\.10\.8 a\\x1b\]0;pwned/);
});
