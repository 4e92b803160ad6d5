/**
 * The heads that were seen on a connection.
 *
 * @module
 */
import { CR, NUL } from "./bytes.ts";
import { type FactLines, HeadTemplate } from "./head_template.ts";
import { HeaderLayout } from "./header_layout.ts";
import type { HeadInfo } from "./frame_view.ts";
import { ownText } from "./text.ts";
import type { Chunk } from "./chunk.ts";

/** A connection has few kinds of messages, or so many that knowing them would not help. */
const MOST_FORMS = 4;

/** To study a head costs as much as reading so many does: no more is spent on it. */
const COST = 16;

/** Forms for the heads of one connection. */
export class HeadCache {
  readonly #forms: HeadTemplate[] = [];
  #last: HeadTemplate | undefined; // which mostly fits again
  #next = 0; // the one that a new form replaces
  #credit = MOST_FORMS * COST;

  /** Remembers nothing any more. */
  clear(): void {
    this.#forms.length = this.#next = 0;
    this.#last = undefined;
  }

  /** The form that the head at `start` has, if it is known and whole. */
  match(chunk: Chunk, start: number): HeadTemplate | undefined {
    if (this.#credit < MOST_FORMS * COST) this.#credit++;
    const last = this.#last;
    if (last === undefined || last.match(chunk, start)) return last;
    return last.isCut ? undefined : this.#search(chunk, start);
  }

  /** Whether the one that was not matched last may be once there is more of it. */
  get isCut(): boolean {
    return this.#last?.isCut ?? false;
  }

  /**
   * Remembers a head that was not matched, if that promises to be of use.
   *
   * @param at where in the bytes the lines begin that the facts are in
   */
  add(bytes: Uint8Array, start: number, end: number, facts: HeadInfo, at: FactLines): void {
    if (!this.#mayStudy) return;
    this.#credit -= COST;
    const head = bytes.slice(start, end);
    // A CR may stand before the LF of the command or of the empty line, too.
    if (head.includes(NUL) || head.includes(CR)) return;
    const { contentLength, contentType, subscription } = at;
    const own = facts.subscription && ownText(facts.subscription); // so that the chunk is not kept with it
    this.#last = this.#forms[this.#next] = new HeadTemplate(
      head,
      { ...facts, subscription: own, names: new HeaderLayout() },
      {
        contentLength: contentLength - start,
        contentType: contentType - start,
        subscription: subscription - start,
      },
    );
    this.#next = (this.#next + 1) % MOST_FORMS;
  }

  get #mayStudy(): boolean {
    return this.#credit >= COST;
  }

  #search(chunk: Chunk, start: number): HeadTemplate | undefined {
    for (const form of this.#forms) if (form !== this.#last && form.match(chunk, start)) return this.#last = form;
    if (!this.#mayStudy) return undefined;
    for (const form of this.#forms) {
      if (form.adapt(chunk, start) && form.match(chunk, start)) return this.#last = form;
    }
    return undefined;
  }
}
