/**
 * Comparing a secret with what somebody claims it is.
 *
 * @module
 */

const textEncoder = new TextEncoder();

/**
 * Whether a text is the expected one. The time that this takes depends on the given text alone: it does not tell how much
 * of it is right, as `===` does.
 */
export function sameText(given: string | undefined, expected: string): boolean {
  const some = textEncoder.encode(given ?? "");
  const others = textEncoder.encode(expected);
  let difference = some.length ^ others.length;
  for (let i = 0; i < some.length; i++) difference |= some[i]! ^ (others[i % others.length] ?? 0);
  return given !== undefined && difference === 0;
}
