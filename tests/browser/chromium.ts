/**
 * Runs the page in a headless Chromium and returns its report.
 *
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromiumProgram } from "../brokers/harness/install.ts";
import { Programs, tailOf } from "../brokers/harness/programs.ts";
import { bundle } from "./bundle.ts";
import type { PageOptions, PageReport } from "./page.ts";

/** Milliseconds from the start of the browser to the report. Chromium starts in 2 s on an idle machine. */
const REPORT_TIMEOUT_MS = 90_000;

const PAGE = `<!doctype html><meta charset="utf-8"><title>stompy</title><script type="module" src="/page.js"></script>`;

/** Flags for no window and no background activity: no updates, no look-ups, no account. */
const FLAGS = [
  "--headless",
  "--no-sandbox", // not available to root, and the page is our own
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
  "--enable-logging=stderr", // the page's console, in case there is no report
];

/** Opens the page in Chromium, and resolves to its report. */
export async function runInChromium(options: PageOptions): Promise<PageReport> {
  const chromium = chromiumProgram();
  const script = await bundle("tests/browser/page.ts");
  const { promise: report, resolve } = Promise.withResolvers<PageReport>();
  const server = createServer(async (request, response) => {
    const path = request.url!.split("?")[0];
    if (path === "/report") {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      response.writeHead(204).end();
      resolve(JSON.parse(body));
    } else {
      const [type, text] = path === "/page.js" ? ["text/javascript", script] : ["text/html", PAGE];
      response.writeHead(200, { "content-type": type, "connection": "close" }).end(text);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const query = new URLSearchParams({ ...options, count: String(options.count) });
  const programs = new Programs("chromium");
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const program = programs.start(
      chromium,
      [...FLAGS, `--user-data-dir=${join(programs.folder, "profile")}`, `http://127.0.0.1:${port}/?${query}`],
      { log: "chromium.log", env: { HOME: programs.folder } },
    );
    const failure = new Promise<never>((_, reject) => {
      const fail = (what: string) => reject(new Error(`Cannot run the page: ${what}\n${tailOf(program.log)}`));
      program.ended.then(() => fail("Chromium exited"));
      timer = setTimeout(() => fail(`no report within ${REPORT_TIMEOUT_MS / 1000} s`), REPORT_TIMEOUT_MS);
    });
    failure.catch(() => {});
    const result = await Promise.race([report, failure]);
    // SIGKILL, because on SIGTERM the browser would first save its profile.
    await programs.kill(program);
    return result;
  } finally {
    clearTimeout(timer);
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await programs.close();
  }
}
