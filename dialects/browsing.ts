/**
 * Browsing: reading the messages of a queue without taking them from it.
 *
 * @module
 */
import type { HeaderEntries } from "../codec/headers.ts";

/** The header that asks ActiveMQ to browse a queue, and with another value marks the frame after the last message. */
const BROWSER = "browser";

/** Writes the option `browse`. */
export const BROWSING: HeaderEntries = [[BROWSER, "true"]];

/** Whether headers of a SUBSCRIBE ask to browse. */
export function asksToBrowse(headers: Readonly<Record<string, string>>): boolean {
  return headers[BROWSER] === "true";
}

/** Whether a frame says that all messages were browsed. */
export function endsBrowsing(frame: { header(name: string): string | undefined }): boolean {
  return frame.header(BROWSER) === "end";
}
