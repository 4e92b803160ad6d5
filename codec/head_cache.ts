/**
 * The templates of one connection.
 *
 * @module
 */
import { CR, NUL } from "./bytes.ts";
import type { Chunk } from "./chunk.ts";
import type { HeadInfo } from "./frame_view.ts";
import { HeadTemplate, type ReadHeaders } from "./head_template.ts";
import { HeaderLayout } from "./headers.ts";
import { ownText } from "./text.ts";

/** Most connections carry few kinds of messages. For many kinds, templates would not help. */
const MAX_TEMPLATES = 4;

/** What it costs to build a template, in heads parsed. */
const TEMPLATE_COST = 16;

/** Bounds how often building is tried: each head read adds one, up to this. */
const MAX_BUDGET = MAX_TEMPLATES * TEMPLATE_COST;

/** Finds the template of a head, and makes templates of heads that have none. */
export class HeadCache {
  readonly #templates: HeadTemplate[] = [];
  #last: HeadTemplate | undefined; // the one that matched last usually matches again
  #next = 0; // the template that a new one replaces
  #budget = MAX_BUDGET;

  /** Forgets all templates. */
  clear(): void {
    this.#templates.length = this.#next = 0;
    this.#last = undefined;
  }

  /** Returns the template that the head at `start` matches, if it is whole. */
  match(chunk: Chunk, start: number): HeadTemplate | undefined {
    if (this.#budget < MAX_BUDGET) this.#budget++;
    const last = this.#last;
    if (last === undefined || last.match(chunk, start)) return last;
    return last.isCut ? undefined : this.#search(chunk, start);
  }

  /** Whether the head that was compared last is cut, and may match once its rest has come. */
  get isCut(): boolean {
    return this.#last?.isCut ?? false;
  }

  /**
   * Makes a template of a parsed head that matched none, while the budget allows it.
   *
   * @param lines where in `bytes` the lines begin that the decoder reads
   */
  add(bytes: Uint8Array, start: number, end: number, info: HeadInfo, lines: ReadHeaders): void {
    if (this.#budget < TEMPLATE_COST) return;
    this.#budget -= TEMPLATE_COST;
    const head = bytes.slice(start, end);
    // A CR may also precede the LF of the command or of the empty line.
    if (head.includes(NUL) || head.includes(CR)) return;
    const { contentLength, contentType, subscription } = lines;
    const ownSubscription = info.subscription && ownText(info.subscription); // a slice would keep the chunk's text
    this.#last = this.#templates[this.#next] = new HeadTemplate(
      head,
      { ...info, subscription: ownSubscription, layout: new HeaderLayout() },
      {
        contentLength: contentLength - start,
        contentType: contentType - start,
        subscription: subscription - start,
      },
    );
    this.#next = (this.#next + 1) % MAX_TEMPLATES;
  }

  #search(chunk: Chunk, start: number): HeadTemplate | undefined {
    for (const template of this.#templates) {
      if (template !== this.#last && template.match(chunk, start)) return this.#last = template;
    }
    if (this.#budget < TEMPLATE_COST) return undefined;
    for (const template of this.#templates) {
      if (template.widen(chunk, start) && template.match(chunk, start)) return this.#last = template;
    }
    return undefined;
  }
}
