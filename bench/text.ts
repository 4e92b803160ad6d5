/**
 * The text that bodies consist of.
 *
 * @module
 */

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** Returns ASCII text of this many characters. */
export function textOf(size: number): string {
  return LETTERS.repeat(Math.ceil(size / LETTERS.length)).slice(0, size);
}

let seen = 0;

/** Looks into a text, as a program that reads a body does: the engine has to join a text that is still in pieces. */
export function look(text: string): void {
  seen = (seen + text.charCodeAt(text.length - 1)) | 0;
}
