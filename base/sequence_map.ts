/**
 * `SequenceMap`: a map whose keys are consecutive numbers.
 *
 * @module
 */

/** Maximum ring size. Beyond it the oldest entry moves to a Map. */
const MAX_RING_SIZE = 1 << 16;

/**
 * A map whose keys count up from 1. Entries are usually taken in the order in which they were added; then one costs a
 * fraction of what it costs in a `Map`.
 */
export class SequenceMap<T extends object> {
  // A ring for the numbers from `#first` to before `#next`: its length is a power of two, or 0.
  #ring: (T | undefined)[] = [];
  #first = 1;
  #next = 1;
  #size = 0;
  #older: Map<number, T> | undefined; // entries before `#first`

  /** How many entries there are. */
  get size(): number {
    return this.#size;
  }

  /** The number of the next entry. */
  get next(): number {
    return this.#next;
  }

  /** Skips the next number. */
  skip(): void {
    this.#reserve();
    this.#next++;
  }

  /** Adds a value under the next number. */
  add(value: T): void {
    this.#reserve();
    this.#ring[this.#next & (this.#ring.length - 1)] = value;
    this.#next++;
    this.#size++;
  }

  /** Returns the value of a number, if there is one. */
  get(number: number): T | undefined {
    if (number >= this.#first) return number < this.#next ? this.#ring[number & (this.#ring.length - 1)] : undefined;
    return this.#older?.get(number);
  }

  /** Removes the entry of a number, and returns its value. */
  take(number: number): T | undefined {
    const value = this.get(number);
    if (value === undefined) return undefined;
    this.#size--;
    if (number < this.#first) {
      this.#older!.delete(number);
    } else {
      this.#ring[number & (this.#ring.length - 1)] = undefined;
      this.#advanceFirst();
    }
    return value;
  }

  /** Returns the numbers of all entries, ascending. */
  numbers(): number[] {
    const numbers = [...this.#older?.keys() ?? []];
    for (let number = this.#first; number < this.#next; number++) {
      if (this.get(number) !== undefined) numbers.push(number);
    }
    return numbers;
  }

  #advanceFirst(): void {
    const mask = this.#ring.length - 1;
    while (this.#first < this.#next && this.#ring[this.#first & mask] === undefined) this.#first++;
  }

  /** Ensures that the ring has a place for the next number. */
  #reserve(): void {
    const { length } = this.#ring;
    if (this.#next - this.#first < length) return;
    this.#advanceFirst(); // past skipped numbers
    if (this.#next - this.#first < length) return;
    if (length === MAX_RING_SIZE) {
      const index = this.#first & (length - 1);
      (this.#older ??= new Map()).set(this.#first, this.#ring[index]!);
      this.#ring[index] = undefined;
      this.#advanceFirst();
      return;
    }
    const ring: (T | undefined)[] = Array.from({ length: Math.max(16, length * 2) });
    for (let number = this.#first; number < this.#next; number++) {
      ring[number & (ring.length - 1)] = this.#ring[number & (length - 1)];
    }
    this.#ring = ring;
  }
}

/** Numbers with more digits may exceed `Number.MAX_SAFE_INTEGER`. */
const MAX_EXACT_DIGITS = 15;

/**
 * Parses the number that a text ends in, from `start` on, if it has the form that a counter from 1 writes: no sign, spaces
 * or leading zeros. Returns -1 otherwise.
 */
export function readNumber(text: string, start: number = 0): number {
  const digits = text.length - start;
  if (digits < 1 || digits > MAX_EXACT_DIGITS || text.charCodeAt(start) === 48) return -1;
  let number = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return -1;
    number = number * 10 + digit;
  }
  return number;
}
