/**
 * What `console.log` prints for an object: the same in all runtimes, and no secrets.
 *
 * @module
 */

type Inspect = (value: unknown, options?: unknown) => string;

/**
 * Sets what `console.log` prints for the instances of a class, in Deno, Bun and Node. Private fields are never printed;
 * this is for public ones that are large or secret.
 */
export function setInspect<T extends object>(type: { prototype: T }, show: (instance: T) => unknown): void {
  define(type.prototype, "nodejs.util.inspect.custom", function (this: T) {
    return show(this);
  });
  define(type.prototype, "Deno.customInspect", function (this: T, inspect: Inspect, options?: unknown) {
    return inspect(show(this), options);
  });
}

function define(prototype: object, symbol: string, value: unknown): void {
  Object.defineProperty(prototype, Symbol.for(symbol), { value, configurable: true, writable: true });
}
