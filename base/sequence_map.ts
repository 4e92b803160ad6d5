/**
 * Things by number.
 *
 * @module
 */

/** Maximum ring size. Beyond it the oldest entry moves to a Map. */
const MOST_PLACES = 1 << 16;

/**
 * Gives out numbers that count up, and keeps a thing under each until it is taken. Things are mostly taken in the order
 * that they came in; then a place costs a fraction of what it costs in a `Map`.
 */
export class SequenceMap<T extends object> {
  // A ring for the numbers from `#first` to before `#next`: its length is a power of two, or 0.
  #ring: (T | undefined)[] = [];
  #first = 1;
  #next = 1;
  #size = 0;
  #late: Map<number, T> | undefined; // those before `#first`

  /** How many things there are. */
  get size(): number {
    return this.#size;
  }

  /** The number that the next thing gets. */
  get next(): number {
    return this.#next;
  }

  /** Leaves a number out. */
  skip(): void {
    this.#reserve();
    this.#next++;
  }

  /** Keeps a thing under the next number. */
  add(thing: T): void {
    this.#reserve();
    this.#ring[this.#next & (this.#ring.length - 1)] = thing;
    this.#next++;
    this.#size++;
  }

  /** The thing of that number. */
  get(number: number): T | undefined {
    if (number >= this.#first) return number < this.#next ? this.#ring[number & (this.#ring.length - 1)] : undefined;
    return this.#late?.get(number);
  }

  /** Takes the thing of that number out. */
  take(number: number): T | undefined {
    const thing = this.get(number);
    if (thing === undefined) return undefined;
    this.#size--;
    if (number < this.#first) {
      this.#late!.delete(number);
    } else {
      this.#ring[number & (this.#ring.length - 1)] = undefined;
      this.#moveOn();
    }
    return thing;
  }

  /** The numbers under which there is something, rising. */
  numbers(): number[] {
    const numbers = [...this.#late?.keys() ?? []];
    for (let number = this.#first; number < this.#next; number++) {
      if (this.get(number) !== undefined) numbers.push(number);
    }
    return numbers;
  }

  #moveOn(): void {
    const mask = this.#ring.length - 1;
    while (this.#first < this.#next && this.#ring[this.#first & mask] === undefined) this.#first++;
  }

  /** Makes room for one number more. */
  #reserve(): void {
    const { length } = this.#ring;
    if (this.#next - this.#first < length) return;
    this.#moveOn(); // past numbers that were left out
    if (this.#next - this.#first < length) return;
    if (length === MOST_PLACES) {
      const place = this.#first & (length - 1);
      (this.#late ??= new Map()).set(this.#first, this.#ring[place]!);
      this.#ring[place] = undefined;
      this.#moveOn();
      return;
    }
    const ring: (T | undefined)[] = Array.from({ length: Math.max(16, length * 2) });
    for (let number = this.#first; number < this.#next; number++) {
      ring[number & (ring.length - 1)] = this.#ring[number & (length - 1)];
    }
    this.#ring = ring;
  }
}

/** Larger numbers are not exact. */
const MOST_DIGITS = 15;

/**
 * The number that a text ends in, from `start` on, if it is one that a counter from 1 on writes: without sign, spaces and
 * leading zeros. Else -1.
 */
export function readNumber(text: string, start: number = 0): number {
  const digits = text.length - start;
  if (digits < 1 || digits > MOST_DIGITS || text.charCodeAt(start) === 48) return -1;
  let number = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return -1;
    number = number * 10 + digit;
  }
  return number;
}
