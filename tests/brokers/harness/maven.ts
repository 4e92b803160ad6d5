/**
 * Brokers from Maven Central: their jars with all that they depend on, or their archive, in a folder under `.runtimes/`,
 * and the Java that runs them. Nothing is installed.
 *
 * @module
 */
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, renameSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inRoot } from "../../support/project.ts";
import { type Need, onPath, runShell } from "./install.ts";

/** The oldest Java that ActiveMQ 6, Artemis and Spring Boot 4 run on. */
const MIN_JAVA = 17;

/** Runs brokers that need Java 17: the `java` on the path, or another one that Debian has installed. */
export const JAVA_17: Need = {
  package: "openjdk-17-jre-headless",
  what: `java of release ${MIN_JAVA} or newer`,
  find: () => findJava("java"),
};

/** Compiles the application for Spring. */
export const JAVAC_17: Need = {
  package: "openjdk-17-jdk-headless",
  what: `javac of release ${MIN_JAVA} or newer`,
  find: () => findJava("javac"),
};

/** Downloads from Maven Central. */
export const MAVEN: Need = { package: "maven", what: "mvn", find: () => onPath("mvn") };

/** Flags for a broker that runs for minutes: a fast start is worth more than fast code. */
export const JAVA_FLAGS: readonly string[] = [
  "-Xms64m",
  "-Xmx512m",
  "-XX:+UseSerialGC",
  "-XX:TieredStopAtLevel=1",
  "-XX:-UsePerfData", // leaves no files in the shared temporary folder
];

/** A Maven coordinate: group, artifact and version, separated by colons. */
export type Coordinate = `${string}:${string}:${string}`;

/**
 * Returns the need of jars with all that they depend on. It is found as the folder that holds them.
 *
 * @param name is the name of the folder, which changes with the versions.
 * @param parent is a parent that manages versions, whose dependencies then have none: `group:artifact:`.
 */
export function jarsNeed(name: string, jars: readonly string[], parent?: Coordinate): Need {
  return mavenNeed(name, jars.join(", "), async (folder) => {
    const pom = join(folder, "pom.xml");
    writeFileSync(pom, pomOf(jars, parent));
    const lib = join(folder, "lib");
    const result = await maven(`-f "$2" dependency:copy-dependencies -DoutputDirectory="$3"`, [pom, lib]);
    return { ...result, folder: lib };
  });
}

/** Returns the need of an archive that holds a single folder. It is found as that folder. */
export function archiveNeed(name: string, archive: string): Need {
  return mavenNeed(name, archive, async (folder) => {
    const command = `dependency:copy -Dartifact="$2" -DoutputDirectory="$3" && tar xzf "$3"/*.tar.gz -C "$3"`;
    const result = await maven(command, [archive, folder]);
    return { ...result, folder: globSync(join(folder, "*/")).at(0) ?? folder };
  });
}

/** Returns the need of something that `bring` puts into an empty folder, and says in which folder it is then. */
function mavenNeed(
  name: string,
  what: string,
  bring: (folder: string) => Promise<{ code: number | null; output: string; folder: string }>,
): Need {
  const target = inRoot(".runtimes", "brokers", name);
  return {
    what: `${what} in .runtimes/brokers/${name}`,
    find: () => existsSync(target) ? target : undefined,
    advice: "run this again without --no-install, with mvn on the PATH and a way to Maven Central",
    async bring(log) {
      if (existsSync(target) || MAVEN.find() === undefined) return;
      log(`Downloading ${name} from Maven Central into .runtimes/brokers/${name}`);
      const begun = performance.now();
      mkdirSync(join(target, ".."), { recursive: true });
      const work = mkdtempSync(`${target}-`);
      try {
        const { code, output, folder } = await bring(work);
        if (code !== 0) return log(`Cannot download it: ${output.trim().split("\n").slice(0, 5).join("\n")}`);
        renameSync(folder, target); // fails if another process was faster, which is as good
        log(`Downloaded in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
      } catch (error) {
        if (!existsSync(target)) throw error;
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    },
  };
}

/** Runs Maven with arguments for the shell, in which `$2`, `$3` and so on are the given values. */
function maven(command: string, values: readonly string[]): Promise<{ code: number | null; output: string }> {
  return runShell(`set -e; "$1" --quiet --batch-mode ${command}`, [MAVEN.find() ?? "mvn", ...values]);
}

function pomOf(jars: readonly string[], parent: Coordinate | undefined): string {
  const coordinate = (text: string) => {
    const [group, artifact, version] = text.split(":");
    const chosen = version === undefined || version === "" ? "" : `<version>${version}</version>`;
    return `<groupId>${group}</groupId><artifactId>${artifact}</artifactId>${chosen}`;
  };
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  ${parent === undefined ? "" : `<parent>${coordinate(parent)}<relativePath/></parent>`}
  <groupId>local</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    ${jars.map((jar) => `<dependency>${coordinate(jar)}</dependency>`).join("\n    ")}
  </dependencies>
</project>
`;
}

/** Returns the path of a program of a Java that is new enough. */
function findJava(program: string): string | undefined {
  const paths = [onPath(program), ...globSync(`/usr/lib/jvm/*/bin/${program}`).sort()];
  return paths.find((path) => path !== undefined && releaseOf(path) >= MIN_JAVA);
}

/** Returns the major version of the Java that a program belongs to, or 0 if it does not say. */
function releaseOf(program: string): number {
  try {
    const release = readFileSync(join(realpathSync(program), "../../release"), "utf8");
    return Number(/^JAVA_VERSION="(\d+)/m.exec(release)?.[1] ?? 0);
  } catch {
    return 0;
  }
}
