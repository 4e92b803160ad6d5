/** The suites of the decoder without the cache of heads: the parser is correct without it. */
import { decoders } from "../fixtures/decoding.ts";

decoders.hasHeadCache = false;

await import("./decoder_test.ts");
await import("./decoder_splits_test.ts");
await import("./decoder_captures_test.ts");
await import("./body_test.ts");
await import("./frame_test.ts");
