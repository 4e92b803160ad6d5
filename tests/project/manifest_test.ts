/** deno.json, for Deno and JSR, and package.json, for Bun and Node, agree where they overlap. */
import { assertEquals } from "#assert";
import { test } from "#test";
import { files, readJson } from "../support/project.ts";

const deno = readJson("deno.json");
const npm = readJson("package.json");
const denoImports = deno["imports"] as Record<string, string>;
const npmVersions = npm["devDependencies"] as Record<string, string>;

test("manifest: deno.json and package.json agree on name, version, license and exports", () => {
  for (const key of ["name", "version", "license", "exports"]) assertEquals(npm[key], deno[key], key);
});

test("manifest: deno.json and package.json ask for the same versions of packages", () => {
  for (const [name, target] of Object.entries(denoImports)) {
    if (target.startsWith("npm:")) assertEquals(target, `npm:${name}@${npmVersions[name]}`);
  }
});

test("manifest: deno.json and package.json map the same names to the test support", () => {
  const local = Object.keys(denoImports).filter((name) => name.startsWith("#"));
  assertEquals(Object.keys(npm["imports"] as object).sort(), local.sort());
});

test("manifest: each export is a file", () => {
  for (const path of Object.values(deno["exports"] as Record<string, string>)) {
    assertEquals(files(path.replace(/^\.\//, "")).length, 1, path);
  }
});
