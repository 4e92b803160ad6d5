/**
 * The text that bodies are made of.
 *
 * @module
 */

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** So many characters of ASCII. */
export function textOf(size: number): string {
  return LETTERS.repeat(Math.ceil(size / LETTERS.length)).slice(0, size);
}

let seen = 0;

/** Looks inside, as whoever reads a body does: text that is still in pieces is put together for that. */
export function look(text: string): void {
  seen = (seen + text.charCodeAt(text.length - 1)) | 0;
}
