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
