/**
 * A first-in first-out queue that does not slow down as it grows.
 *
 * @module
 */

/** A ring of at most this size never shrinks. A longer one shrinks when an eighth of it or less is in use. */
const MIN_SHRINKING_SIZE = 512;

/** This close to the head, an item is removed by moving the items before it, which is cheaper than an index. */
const MAX_MOVED_ITEMS = 64;

/** Marks the slot of an item that was removed from the middle. */
const REMOVED = Symbol("removed");

/** A first-in first-out queue. Unlike `Array.shift`, taking an item costs the same however long the queue is. */
export class Fifo<T> {
  // A ring: its length is a power of two, or 0. It stays when the queue is empty, because most queues are short and busy.
  #ring: (T | typeof REMOVED | undefined)[] = [];
  #head = 0; // never a removed slot
  #span = 0; // slots from the first item to the last, removed ones included
  #index: SlotIndex<T> | undefined; // from the removal of an item far from the head until few items are left

  /** The number of items. */
  get length(): number {
    return this.#index === undefined ? this.#span : this.#span - this.#index.removed;
  }

  /** Adds an item at the end. */
  push(item: T): void {
    if (this.#span === this.#ring.length) this.#resize(Math.max(4, this.#ring.length * 2));
    this.#ring[(this.#head + this.#span) & (this.#ring.length - 1)] = item;
    this.#index?.add(item, this.#span);
    this.#span++;
  }

  /** Returns the first item without taking it; `undefined` when there is none. */
  peek(): T | undefined {
    return this.#span === 0 ? undefined : this.#ring[this.#head] as T;
  }

  /** Takes the first item; `undefined` when there is none. */
  shift(): T | undefined {
    if (this.#span === 0) return undefined;
    const ring = this.#ring;
    const item = ring[this.#head] as T;
    ring[this.#head] = undefined; // so that the garbage collector can free the item
    this.#head = (this.#head + 1) & (ring.length - 1);
    this.#span--;
    if (this.#index !== undefined) this.#afterShift(this.#index, item);
    if (ring.length > MIN_SHRINKING_SIZE && this.#span * 8 <= ring.length) this.#resize(ring.length / 4);
    return item;
  }

  /** Removes an item, wherever it is. However long the queue is, many such calls cost about as much each as `shift`. */
  remove(item: T): void {
    const index = this.#index ?? this.#removeNearHead(item);
    if (index === undefined) return;
    const offset = index.take(item);
    if (offset === undefined) return;
    const ring = this.#ring;
    ring[(this.#head + offset) & (ring.length - 1)] = REMOVED;
    index.removed++;
    if (offset === 0) this.#skipRemoved(index);
    this.#compact(index);
  }

  /** Removes all items. */
  clear(): void {
    this.#ring = [];
    this.#head = this.#span = 0;
    this.#index = undefined;
  }

  /** Iterates over the items in order, without taking them. */
  *[Symbol.iterator](): Iterator<T> {
    for (let i = 0; i < this.#span; i++) {
      const item = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
      if (item !== REMOVED) yield item as T;
    }
  }

  /** Removes an item that is near the head. Creates and returns an index when it may be farther away. */
  #removeNearHead(item: T): SlotIndex<T> | undefined {
    const ring = this.#ring;
    const mask = ring.length - 1;
    const end = Math.min(MAX_MOVED_ITEMS, this.#span);
    let offset = 0;
    while (offset < end && ring[(this.#head + offset) & mask] !== item) offset++;
    if (offset === this.#span) return undefined;
    if (offset === end) return this.#index = this.#createIndex();
    // The items before it move up by one slot, which frees the first slot.
    for (; offset > 0; offset--) ring[(this.#head + offset) & mask] = ring[(this.#head + offset - 1) & mask];
    this.shift();
    return undefined;
  }

  #createIndex(): SlotIndex<T> {
    const index = new SlotIndex<T>();
    for (let offset = 0; offset < this.#span; offset++) {
      index.add(this.#ring[(this.#head + offset) & (this.#ring.length - 1)] as T, offset);
    }
    return index;
  }

  /** Updates the index after the first slot and its item are gone. */
  #afterShift(index: SlotIndex<T>, item: T): void {
    index.take(item);
    index.shifted++;
    this.#skipRemoved(index);
    this.#compact(index);
  }

  #skipRemoved(index: SlotIndex<T>): void {
    const ring = this.#ring;
    while (this.#span > 0 && ring[this.#head] === REMOVED) {
      ring[this.#head] = undefined;
      this.#head = (this.#head + 1) & (ring.length - 1);
      this.#span--;
      index.shifted++;
      index.removed--;
    }
  }

  /** Closes the removed slots when they outnumber the items, and drops the index when few items are left. */
  #compact(index: SlotIndex<T>): void {
    const left = this.#span - index.removed;
    if (left > MAX_MOVED_ITEMS && index.removed <= left) return;
    let size = Math.max(4, this.#ring.length);
    while (size > MIN_SHRINKING_SIZE && left * 4 <= size) size /= 2;
    this.#resize(size);
  }

  #resize(size: number): void {
    const ring: (T | undefined)[] = [];
    for (let i = 0; i < this.#span; i++) {
      const item = this.#ring[(this.#head + i) & (this.#ring.length - 1)];
      if (item !== REMOVED) ring.push(item);
    }
    this.#head = 0;
    this.#span = ring.length;
    while (ring.length < size) ring.push(undefined);
    this.#ring = ring;
    if (this.#index !== undefined) this.#index = this.#span > MAX_MOVED_ITEMS ? this.#createIndex() : undefined;
  }
}

/** Finds the slot of each item of a queue. */
class SlotIndex<T> {
  /** Slots that were freed at the head since the index was created. */
  shifted = 0;
  /** Slots whose item was removed. */
  removed = 0;
  // Counted from the head when the index was created. An item that is in the queue more than once has a queue of slots.
  readonly #slots = new Map<T, number | Fifo<number>>();

  /** Adds the slot of an item, counted from the head. */
  add(item: T, offset: number): void {
    const slot = this.shifted + offset;
    const known = this.#slots.get(item);
    if (known === undefined) return void this.#slots.set(item, slot);
    if (typeof known === "object") return known.push(slot);
    const slots = new Fifo<number>();
    slots.push(known);
    slots.push(slot);
    this.#slots.set(item, slots);
  }

  /** Removes the first slot of an item, and returns it, counted from the head; `undefined` when there is none. */
  take(item: T): number | undefined {
    const known = this.#slots.get(item);
    if (known === undefined) return undefined;
    const slot = typeof known === "object" ? known.shift()! : known;
    if (typeof known === "number" || known.length === 0) this.#slots.delete(item);
    return slot - this.shifted;
  }
}
