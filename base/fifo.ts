/**
 * A first-in first-out queue that does not slow down as it grows.
 *
 * @module
 */

/** Places of a queue that is short; a longer one gives places back when most of them are empty. */
const SHORT = 512;

/** This close to the head, an item is removed by moving those before it, which costs less than a map of places. */
const NEAR = 64;

/** Stands where an item was taken out of the middle. */
const HOLE = Symbol("hole");

/** A first-in first-out queue. Adding and taking cost the same however long it is, unlike `Array.shift`. */
export class Fifo<T> {
  // A ring: its length is a power of two, or 0. It stays when all is taken, because most queues are short and busy.
  #ring: (T | typeof HOLE | undefined)[] = [];
  #head = 0; // never a hole
  #span = 0; // places from the first item to the last, holes among them
  #places: Places<T> | undefined; // since an item was taken out that was far from the head, until few are left

  /** How many items wait. */
  get length(): number {
    return this.#places === undefined ? this.#span : this.#span - this.#places.holes;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    if (this.#span === this.#ring.length) this.#resize(Math.max(4, this.#ring.length * 2));
    this.#ring[(this.#head + this.#span) & (this.#ring.length - 1)] = item;
    this.#places?.add(item, this.#span);
    this.#span++;
  }

  /** The item that `shift` would take, left in place. */
  peek(): T | undefined {
    return this.#span === 0 ? undefined : this.#ring[this.#head] as T;
  }

  /** Takes the first item; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.#span === 0) return undefined;
    const ring = this.#ring;
    const item = ring[this.#head] as T;
    ring[this.#head] = undefined; // let go of it
    this.#head = (this.#head + 1) & (ring.length - 1);
    this.#span--;
    if (this.#places !== undefined) this.#shifted(this.#places, item);
    if (ring.length > SHORT && this.#span * 8 <= ring.length) this.#resize(ring.length / 4);
    return item;
  }

  /** Takes one item out, wherever it is. However long the queue is, many such calls cost about as much each as `shift`. */
  remove(item: T): void {
    const places = this.#places ?? this.#removeNear(item);
    if (places === undefined) return;
    const place = places.take(item);
    if (place === undefined) return;
    const ring = this.#ring;
    ring[(this.#head + place) & (ring.length - 1)] = HOLE;
    places.holes++;
    if (place === 0) this.#skipHoles(places);
    this.#tidy(places);
  }

  /** Takes all items out. */
  clear(): void {
    this.#ring = [];
    this.#head = this.#span = 0;
    this.#places = undefined;
  }

  /** The items in order, left in place. */
  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.#span; i++) {
      const item = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
      if (item !== HOLE) yield item as T;
    }
  }

  /** Takes an item out if it is near the head, or if no item is far from it; otherwise makes a map of places. */
  #removeNear(item: T): Places<T> | undefined {
    const ring = this.#ring;
    const mask = ring.length - 1;
    const end = Math.min(NEAR, this.#span);
    let at = 0;
    while (at < end && ring[(this.#head + at) & mask] !== item) at++;
    if (at === this.#span) return undefined;
    if (at === end) return this.#places = this.#findPlaces();
    // Those before it move up by one, and the first place is free.
    for (; at > 0; at--) ring[(this.#head + at) & mask] = ring[(this.#head + at - 1) & mask];
    this.shift();
    return undefined;
  }

  #findPlaces(): Places<T> {
    const places = new Places<T>();
    for (let at = 0; at < this.#span; at++) {
      places.add(this.#ring[(this.#head + at) & (this.#ring.length - 1)] as T, at);
    }
    return places;
  }

  /** Notes that the first place is gone, with its item. */
  #shifted(places: Places<T>, item: T): void {
    places.take(item);
    places.shifted++;
    this.#skipHoles(places);
    this.#tidy(places);
  }

  #skipHoles(places: Places<T>): void {
    const ring = this.#ring;
    while (this.#span > 0 && ring[this.#head] === HOLE) {
      ring[this.#head] = undefined;
      this.#head = (this.#head + 1) & (ring.length - 1);
      this.#span--;
      places.shifted++;
      places.holes--;
    }
  }

  /** Closes the holes when they are more than the items, and does without places when few items are left. */
  #tidy(places: Places<T>): void {
    const left = this.#span - places.holes;
    if (left > NEAR && places.holes <= left) return;
    let size = Math.max(4, this.#ring.length);
    while (size > SHORT && left * 4 <= size) size /= 2;
    this.#resize(size);
  }

  #resize(size: number): void {
    const ring: (T | undefined)[] = [];
    for (let i = 0; i < this.#span; i++) {
      const item = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
      if (item !== HOLE) ring.push(item);
    }
    this.#head = 0;
    this.#span = ring.length;
    while (ring.length < size) ring.push(undefined);
    this.#ring = ring;
    if (this.#places !== undefined) this.#places = this.#span > NEAR ? this.#findPlaces() : undefined;
  }
}

/** Where each item of a queue is. */
class Places<T> {
  /** Places that were free at the head since this was made. */
  shifted = 0;
  /** Places without an item. */
  holes = 0;
  // From the first place on when this was made; an item that is in the queue more than once has a queue of them.
  readonly #byItem = new Map<T, number | Fifo<number>>();

  /** Notes the place of an item, counted from the head. */
  add(item: T, place: number): void {
    const number = this.shifted + place;
    const known = this.#byItem.get(item);
    if (known === undefined) return void this.#byItem.set(item, number);
    if (typeof known === "object") return known.push(number);
    const numbers = new Fifo<number>();
    numbers.push(known);
    numbers.push(number);
    this.#byItem.set(item, numbers);
  }

  /** Forgets the first place of an item, and returns it, counted from the head; `undefined` when it has none. */
  take(item: T): number | undefined {
    const known = this.#byItem.get(item);
    if (known === undefined) return undefined;
    const number = typeof known === "object" ? known.shift()! : known;
    if (typeof known === "number" || known.length === 0) this.#byItem.delete(item);
    return number - this.shifted;
  }
}
