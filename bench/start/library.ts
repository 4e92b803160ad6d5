// The library and nothing else: what importing it takes.
import "../../mod.ts";
