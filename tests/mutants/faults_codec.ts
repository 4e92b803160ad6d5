/**
 * Faults in `codec/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const CODEC_FAULTS: readonly Fault[] = [
  {
    file: "codec/decoder.ts",
    name: "a chunk is overwritten while a cut frame has a view on it",
    from: "this.#holdsChunk = partial.bodyChunk === chunk;",
    to: "this.#holdsChunk = false;",
    tests: ["codec/chunk_ownership"],
  },
  {
    file: "codec/decoder.ts",
    name: "a lone CR between frames passes",
    from: "if (this.#isAfterCr) throw malformed(",
    to: "if (this.#isAfterCr && bytes.length === 0) throw malformed(",
    tests: ["codec/decoder", "codec/decoder_splits"],
  },
  {
    file: "codec/decoder.ts",
    name: "what a callback throws is lost",
    from: "    } catch (error) {\n      this.#thrown ??= { error };\n    }\n  }\n}\n\n",
    to: "    } catch {}\n  }\n}\n\n",
    tests: ["codec/decoder"],
  },
  {
    file: "codec/head_parser.ts",
    name: "a whole head that matches a template may be over the limit",
    from: "this.#checkSize(this.#scanned);\n          return true;",
    to: "return true;",
    tests: ["codec/head_cache"],
  },
  {
    file: "codec/head_parser.ts",
    name: "a content-length has any number of digits",
    from: "const isValid = end > at && end - at <= MAX_LENGTH_DIGITS;",
    to: "const isValid = end > at;",
    tests: ["codec/decoder"],
  },
  {
    file: "codec/head_parser.ts",
    name: "the last of a repeated content-length counts",
    from: "if (lines.contentLength >= 0 || !beginsWith",
    to: "if (!beginsWith",
    tests: ["codec/decoder", "codec/head_cache"],
  },
  {
    file: "codec/head_cache.ts",
    name: "a head with NUL becomes a template",
    from: "head.includes(NUL) || ",
    to: "",
    tests: ["codec/head_cache"],
  },
  {
    file: "codec/headers.ts",
    name: "the last of a repeated header counts",
    from: "if (!(name in headers)) headers[name] = value;",
    to: "headers[name] = value;",
    tests: ["codec/headers", "codec/decoder"],
  },
  {
    file: "codec/headers.ts",
    name: "STOMP 1.1 knows the escape of CR",
    from: `else if (next === "r" && rules.escapesCr)`,
    to: `else if (next === "r")`,
    tests: ["codec/headers", "codec/decoder"],
  },
  {
    file: "codec/body.ts",
    name: "a body may be longer than its content-length",
    from: "if (bytes[end] !== NUL) throw noNul(contentLength);",
    to: "",
    tests: ["codec/decoder", "codec/body"],
  },
  {
    file: "codec/body.ts",
    name: "the place that a body is read into goes past its end",
    from: "this.#target.subarray(this.length, this.#expected) : undefined",
    to: "this.#target.subarray(this.length) : undefined",
    tests: ["codec/body"],
  },
  {
    file: "codec/partial_frame.ts",
    name: "a cut body without a size has no limit",
    from: "checkBodySize(body.length + end - start, this.#limits.maxBodyBytes);",
    to: "",
    tests: ["codec/body", "codec/decoder"],
  },
  {
    file: "codec/partial_frame.ts",
    name: "the memory of a cut frame is used again while the frame lives in it",
    from: "this.#chunk?.moveOut();",
    to: "",
    tests: ["codec/chunk_ownership", "codec/decoder_splits"],
  },
  {
    file: "codec/chunk.ts",
    name: "a chunk is released while a caller has a view on it",
    from: `      case "received":\n        this.#kind = "lent";`,
    to: "",
    tests: ["codec/chunk", "codec/chunk_ownership"],
  },
  {
    file: "codec/chunk.ts",
    name: "a pooled body goes back to the pool while a caller has it",
    from: '      this.#kind = "lent";\n      return bytes;',
    to: '      this.#returnToPool("lent", bytes);\n      return bytes;',
    tests: ["codec/chunk", "codec/body"],
  },
  {
    file: "codec/encoder.ts",
    name: "a content-length is written twice",
    from: "      missing = false;\n",
    to: "",
    tests: ["codec/frame", "client/sender"],
  },
  {
    file: "codec/encoder.ts",
    name: "the size of a text is its number of characters",
    from: "      digits = String(length);\n",
    to: "",
    tests: ["connection/write_buffer", "client/sender"],
  },
  {
    file: "codec/mask.ts",
    name: "an ERROR with a masked passcode keeps its old size",
    from: `delete headers["content-length"];`,
    to: "",
    tests: ["api/secrets"],
  },
  {
    file: "codec/frame_verbs.ts",
    name: "the RECEIPT of a send that was aborted can never be taken",
    from: "this.#awaited.delete(receipt);",
    to: "",
    tests: ["codec/frame_verbs"],
  },
  {
    file: "codec/decoder.ts",
    name: "spaces between frames pass",
    from: "    if (at === length) return false;\n    if (this.#isAfterCr)",
    to: "    while (bytes[at] === 32) this.#at = ++at;\n    if (at === length) return false;\n    if (this.#isAfterCr)",
    tests: ["codec/decoder"],
  },
];
