// Measures the import of the library.
import "../../mod.ts";
