/**
 * The conformance checklist: a test for each row that shows on the wire, and checks of the page that lists them, which
 * `deno task conformance` writes.
 */
import { assert, assertEquals } from "#assert";
import { test } from "#test";
import "./broker_connect.ts";
import "./broker_send.ts";
import "./broker_subscribe.ts";
import "./client_connect.ts";
import "./client_send.ts";
import "./client_subscribe.ts";
import "./framing_broker.ts";
import "./framing_broker_more.ts";
import "./framing_client.ts";
import "./framing_client_written.ts";
import { AMBIGUOUS } from "./ambiguous.ts";
import { tested } from "./harness.ts";
import { renderPage, unformatted } from "./page.ts";
import { NOT_TESTED, REMARKS, ROWS } from "./rows.ts";
import { readText } from "../support/project.ts";

test("every row has a test or a reason for having none on each side, and every test has a row", () => {
  const wanted = ROWS.flatMap(({ id, sides }) => sides.map((side) => `${id} ${side}`));
  const covered = [...tested, ...Object.keys(NOT_TESTED)];
  assertEquals(new Set(wanted).size, wanted.length);
  assertEquals(covered.toSorted(), wanted.toSorted());
  assert(Object.keys(REMARKS).every((id) => ROWS.some((row) => row.id === id)));
});

test("the ids of rows and points are numbered without gaps", () => {
  for (const letter of ["F", "C", "S"]) {
    const ids = ROWS.filter(({ id }) => id.startsWith(letter)).map(({ id }) => Number(id.split("-")[1]));
    assertEquals(ids, ids.map((_, index) => index + 1));
  }
  for (const kind of ["AMB", "OWN"]) {
    const ids = AMBIGUOUS.filter(({ id }) => id.startsWith(kind)).map(({ id }) => Number(id.split("-")[1]));
    assertEquals(ids, ids.map((_, index) => index + 1));
  }
});

test("docs/conformance.md lists exactly these rows, all of them passing", () => {
  const page = renderPage(() => "passes");
  assert(
    unformatted(readText("docs/conformance.md")) === unformatted(page),
    "docs/conformance.md is stale: `deno task conformance` writes it",
  );
});
