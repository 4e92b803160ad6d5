/**
 * What `console.log` shows of an object, the same in all runtimes and without secrets.
 *
 * @module
 */

/**
 * Makes the instances of a class show themselves as `show` says, in Deno, Bun and Node. Fields that are private to a
 * class are hidden anyway; this is for public ones that hold too much or too secret things.
 */
export function setInspect<T extends object>(type: { prototype: T }, show: (instance: T) => unknown): void {
  define(type.prototype, "nodejs.util.inspect.custom", function (this: T) {
    return show(this);
  });
  define(
    type.prototype,
    "Deno.customInspect",
    function (this: T, inspect: (value: unknown, options?: unknown) => string, options?: unknown) {
      return inspect(show(this), options);
    },
  );
}

function define(prototype: object, symbol: string, value: unknown): void {
  Object.defineProperty(prototype, Symbol.for(symbol), { value, configurable: true, writable: true });
}
