/**
 * A package of any release of Debian with all that it depends on, unpacked into a separate folder under `.runtimes/`.
 * Its programs see that folder as the root of the file system. Nothing is installed, no service is started, and the
 * machine's own package sources stay as they are.
 *
 * @module
 */
import { existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { inRoot } from "../../support/project.ts";
import { type Need, onPath, runShell } from "./install.ts";

/** A package to unpack. */
export interface DebianTree {
  /** The name of the folder under `.runtimes/brokers/`. */
  readonly name: string;
  /** The code name of Debian's release. */
  readonly suite: string;
  /** The package. */
  readonly package: string;
  /** A path in the tree, as a pattern, which is there when the tree is complete and has the right version. */
  readonly proof: string;
  /** The programs to make available, as paths in the tree. */
  readonly programs: (proof: string) => readonly string[];
}

/** Signs Debian's releases. Debian has it, and Ubuntu has a package of it. */
const KEYRING: Need = {
  package: "debian-archive-keyring",
  what: "/usr/share/keyrings/debian-archive-keyring.gpg",
  find: () => ["/usr/share/keyrings/debian-archive-keyring.gpg"].find((path) => existsSync(path)),
};

/** The programs without which no tree can be made or entered. */
const TOOLS = ["apt-get", "dpkg-deb", "unshare", "chroot", "mount"];

/** Returns what a tree needs: the keyring, and the tree itself, which is found as the path of its `program`. */
export function treeNeeds(tree: DebianTree, program: string): readonly [Need, Need] {
  const need: Need = {
    what: `${tree.package} of Debian ${tree.suite} in .runtimes/brokers/${tree.name}`,
    find: () => isComplete(tree) ? join(folderOf(tree), "bin", program) : undefined,
    bring: (log) => bringTree(tree, log),
    advice:
      `run this again without --no-install on Debian, or on Ubuntu with STOMPY_DEBIAN_MIRROR set to a mirror of ` +
      `Debian; it needs ${TOOLS.join(", ")}`,
  };
  return [{ ...KEYRING, find: () => need.find() ?? KEYRING.find() }, need];
}

function folderOf({ name }: DebianTree): string {
  return inRoot(".runtimes", "brokers", name);
}

function isComplete(tree: DebianTree): boolean {
  return globSync(join(folderOf(tree), "tree", tree.proof)).length > 0;
}

/** Downloads and unpacks a tree, which takes about 20 s. It is there as a whole or not at all. */
async function bringTree(tree: DebianTree, log: (line: string) => void): Promise<void> {
  if (TOOLS.some((tool) => onPath(tool) === undefined) || KEYRING.find() === undefined) return;
  log(`Downloading ${tree.package} of Debian ${tree.suite} into .runtimes/brokers/${tree.name}`);
  const begun = performance.now();
  const target = folderOf(tree);
  mkdirSync(join(target, ".."), { recursive: true });
  const work = mkdtempSync(`${target}-`);
  try {
    const { code, output } = await runShell(MAKE, [
      work,
      tree.suite,
      tree.package,
      process.env["STOMPY_DEBIAN_MIRROR"] ?? "",
    ]);
    if (code !== 0) return log(`Cannot download it: ${output.trim().split("\n").slice(-5).join("\n")}`);
    const proof = globSync(tree.proof, { cwd: join(work, "tree") }).at(-1);
    if (proof === undefined) {
      const version = globSync("usr/lib/*/lib/*-[0-9]*", { cwd: join(work, "tree") }).map((path) => basename(path));
      return log(`Cannot use it: Debian ${tree.suite} has another version now: ${version.join(", ")}`);
    }
    const { code: failed } = await runShell(WRAP, [work, ...tree.programs(`/${proof}`)]);
    if (failed !== 0) return log("Cannot write its programs");
    rmSync(target, { recursive: true, force: true });
    renameSync(work, target); // fails if another process was faster, which is as good
    log(`Unpacked in ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  } catch (error) {
    if (!isComplete(tree)) throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Downloads with separate lists and state: `status` is empty, so that apt-get resolves everything down to the C
 * library. Then it unpacks without what only people read and what only an installed system needs.
 */
const MAKE = `
set -e
work=$1 suite=$2 package=$3 mirror=$4
[ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' 2>/dev/null | sort -u | head -n 1)
# Before the first "apt-get update" of a machine, only its list of sources tells.
[ -n "$mirror" ] || mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1)
[ -n "$mirror" ] || { echo "no mirror of Debian is known: set STOMPY_DEBIAN_MIRROR"; exit 1; }
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/etc/preferences.d" "$work/tree"
: > "$work/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$work/apt/sources.list"
apt() {
  apt-get -qq -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::State::lists="$work/apt/lists" \\
    -o Dir::Cache="$work/apt" -o Dir::Etc="$work/apt/etc" -o Dir::Etc::sourcelist="$work/apt/sources.list" \\
    -o Dir::Etc::sourceparts=- -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3 \\
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
apt update
# What Debian takes for granted is no dependency of any package.
apt install -y --no-install-recommends --download-only "$package" dash coreutils sed grep findutils
for folder in bin sbin lib lib64; do
  mkdir -p "$work/tree/usr/$folder"
  ln -s "usr/$folder" "$work/tree/$folder"
done
cd "$work/apt/archives"
for deb in *.deb; do
  case $deb in
    adduser_*|apt_*|base-files_*|debconf_*|dpkg_*|gcc-*-base_*|libapt-pkg*|login*|mount_*|passwd_*|perl*|procps_*) continue;;
    python3*|libpython3*|rabbitmqadmin*|socat_*|systemd_*|sysvinit*|tzdata_*|util-linux_*) continue;;
  esac
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work/tree" --no-same-owner --keep-directory-symlink \\
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \\
    --exclude='./usr/share/info/*' --exclude='./usr/share/i18n/*' --exclude='./usr/lib/*/gconv/*' --exclude='./dev/*'
done
cd "$work/tree"
[ -e bin/sh ] || ln -s dash bin/sh
mkdir -p proc dev sys tmp run root etc var/log
echo root:x:0:0:root:/root:/bin/sh > etc/passwd
echo root:x:0: > etc/group
printf '127.0.0.1 localhost\\n::1 localhost\\n' > etc/hosts
echo hosts: files > etc/nsswitch.conf
rm -rf "$work/apt"
chmod 755 "$work" # it began as a temporary folder
`;

/**
 * Writes programs that enter the tree in a separate mount namespace: what is mounted there is gone when they end,
 * however they end, and they keep their process id. They see the folder for temporary files as it is outside.
 */
const WRAP = `
set -e
work=$1
shift
mkdir -p "$work/bin"
for program; do
  file=$work/bin/\${program##*/}
  cat > "$file" <<'END'
#!/bin/sh
tree=$(dirname "$(dirname "$(readlink -f "$0")")")/tree
user=
[ "$(id -u)" = 0 ] || user="--user --map-root-user"
exec unshare $user --mount --propagation private -- /bin/sh -c '
tree=$1 share=$2
shift 2
mkdir -p "$tree$share"
mount --rbind /proc "$tree/proc" && mount --rbind /dev "$tree/dev" && mount --bind "$share" "$tree$share" || exit 97
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$tree" "$@"' sh "$tree" "\${TMPDIR:-/tmp}" \\
END
  printf '  "%s" "$@"\\n' "$program" >> "$file"
  chmod 755 "$file"
done
`;
