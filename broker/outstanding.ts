/**
 * What went out on one subscription of the embedded broker and waits for its ACK or NACK.
 *
 * @module
 */
import { SequenceMap } from "../base/sequence_map.ts";

/** What has to be known of a delivery. */
export interface Placed {
  /** Its place among all that went out on the subscription. */
  readonly place: number;
  /** In `client-individual` mode: whether no transaction has acknowledged it. */
  open: boolean;
}

/** Deliveries that follow one another, by their places. */
export interface Span {
  /** The first place. */
  readonly first: number;
  /** The last place, which belongs to it. */
  readonly last: number;
}

/** An empty ring that is larger than this starts small again. */
const MAX_IDLE_PLACES = 1024;

/**
 * The deliveries of one subscription that are not settled, in the order in which they went out. A delivery is open, or
 * a transaction that has not ended holds it. In `client` mode an ACK means a whole beginning of what is open. That is
 * kept as spans, so a transaction takes and gives back thousands of deliveries at the cost of one.
 */
export class Outstanding<D extends Placed> {
  readonly #isCumulative: boolean;
  #items = new SequenceMap<D>();
  #base = 0; // the place before number 1 of `#items`
  #open: Span[] = [{ first: 1, last: Infinity }]; // in `client` mode, the last places first

  /** Creates an empty one, for `client` mode or for `client-individual`. */
  constructor(isCumulative: boolean) {
    this.#isCumulative = isCumulative;
  }

  /** How many deliveries are not settled. */
  get size(): number {
    return this.#items.size;
  }

  /** The place of the next delivery. */
  get nextPlace(): number {
    return this.#base + this.#items.next;
  }

  /** Adds an open delivery at the next place. */
  add(delivery: D): void {
    this.#items.add(delivery);
  }

  /** Whether a delivery that is not settled can be acknowledged. */
  isOpen({ place, open }: D): boolean {
    if (!this.#isCumulative) return open;
    const span = this.#open[this.#indexBelow(place + 1)];
    return span !== undefined && place <= span.last;
  }

  /** Takes what an ACK of an open delivery means out of what is open. */
  take(delivery: D): readonly Span[] {
    const { place } = delivery;
    if (this.#isCumulative) return this.#takeUpTo(place);
    delivery.open = false;
    return [{ first: place, last: place }];
  }

  /** Takes all that is open. Nothing is opened again after that. */
  takeAll(): readonly Span[] {
    if (this.#isCumulative) return this.#takeUpTo(this.nextPlace - 1);
    const spans: Span[] = [];
    for (const number of this.#items.numbers()) {
      const delivery = this.#items.get(number)!;
      if (delivery.open) spans.push(...this.take(delivery));
    }
    return spans;
  }

  /** Opens what was taken. */
  reopen(spans: readonly Span[]): void {
    for (const span of spans) {
      if (this.#isCumulative) this.#insert(span);
      else this.#items.get(span.first - this.#base)!.open = true;
    }
  }

  /** Forgets what was taken: it is settled. */
  settle(spans: readonly Span[], onSettled: (delivery: D) => void): void {
    for (const { first, last } of spans) {
      for (let place = first; place <= last; place++) onSettled(this.#items.take(place - this.#base)!);
    }
    if (this.#items.size > 0 || this.#items.next <= MAX_IDLE_PLACES) return;
    this.#base += this.#items.next - 1;
    this.#items = new SequenceMap();
  }

  #takeUpTo(place: number): Span[] {
    const taken: Span[] = [];
    const open = this.#open;
    for (let span; (span = open.at(-1)) !== undefined && span.first <= place;) {
      open.pop();
      taken.push({ first: span.first, last: Math.min(span.last, place) });
      if (span.last > place) open.push({ first: place + 1, last: span.last });
    }
    return taken;
  }

  /** Puts a span back, and joins it with its neighbours: or the spans would become ever more, and smaller. */
  #insert(span: Span): void {
    const at = this.#indexBelow(span.first);
    const above = this.#open[at - 1];
    const below = this.#open[at];
    const joinsAbove = above !== undefined && above.first === span.last + 1;
    const joinsBelow = below !== undefined && below.last + 1 === span.first;
    const joined = { first: joinsBelow ? below.first : span.first, last: joinsAbove ? above.last : span.last };
    this.#open.splice(joinsAbove ? at - 1 : at, Number(joinsAbove) + Number(joinsBelow), joined);
  }

  /** The index of the last span that begins before a place; the number of spans when none does. */
  #indexBelow(place: number): number {
    const open = this.#open;
    let low = 0;
    let high = open.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (open[middle]!.first < place) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
