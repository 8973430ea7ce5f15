// Stand-ins for the three images that docker-compose.yml and the Dockerfile take from registries, for a machine that
// reaches none: the same names, paths, users and entrypoints, filled from Debian's packages and this Node.
import { execFile } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { mirrorOf } from "./debian-packages.ts";
import type { PrivateDocker } from "./private-docker.ts";

const run = promisify(execFile);
const BASE = "coxswain-standin/base";
const LIBRARIES = "/usr/lib/x86_64-linux-gnu";

/** Where the programs of the images lie. */
export interface StandinSources {
  /** A tar of a minimal Debian. */
  readonly base: string;
  /** Folder with etcd, etcdctl and nats-server unpacked. */
  readonly servers: string;
  /** Folder with busybox unpacked. */
  readonly busybox: string;
  /** Folder from which apt installs what the Dockerfile asks for. */
  readonly repository: string;
}

/** Makes a minimal Debian once, with mmdebstrap from `packages`, laid over /usr in a mount namespace of its own. */
export async function ensureBase(file: string, packages: string, release: string): Promise<void> {
  if (existsSync(file)) return;
  mkdirSync(path.dirname(file), { recursive: true });
  const part = `${file}.part.tar`;
  rmSync(part, { force: true });
  const source = `deb ${await mirrorOf(release)} ${release} main`;
  const script = `mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr && shift && exec mmdebstrap --quiet --variant=minbase "$@"`;
  await run(
    "unshare",
    ["--mount", "--propagation", "private", "sh", "-c", script, "sh", packages, release, part, source],
    {
      maxBuffer: 16 << 20,
      timeout: 600_000,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" },
    },
  );
  renameSync(part, file);
}

const copies = (programs: readonly string[]): string => programs.map((name) => JSON.stringify(name)).join(", ");

/** Files of an image without a distribution: the C library that Debian's Go programs load. */
const libc = [
  `COPY --from=${BASE} ${LIBRARIES}/ld-linux-x86-64.so.2 /lib64/`,
  `COPY --from=${BASE} ${LIBRARIES}/libc.so.6 ${LIBRARIES}/libresolv.so.2 /lib/x86_64-linux-gnu/`,
  `COPY --from=${BASE} /etc/nsswitch.conf /etc/`,
];

interface Standin {
  readonly name: string;
  readonly dockerfile: readonly string[];
  /** File name in the build context → where it comes from. */
  readonly programs: Readonly<Record<string, string>>;
  /** Text files in the build context, executable. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Folder in the build context → where it comes from. */
  readonly folders?: Readonly<Record<string, string>>;
  /** Links to make in the context's folder `applets`, all to busybox. */
  readonly applets?: readonly string[];
}

const entrypoint = (isCommand: string, program: string): string =>
  `#!/bin/sh\nset -e\nif ${isCommand}; then set -- ${program} "$@"; fi\nexec "$@"\n`;

function standins(sources: StandinSources): readonly Standin[] {
  const etcd = ["etcd", "etcdctl", "etcdutl"];
  return [
    {
      name: "node:24-bookworm-slim",
      programs: { node: process.execPath },
      folders: { repository: sources.repository },
      scripts: { "docker-entrypoint.sh": entrypoint(`[ "\${1#-}" != "$1" ] || ! command -v "$1" >/dev/null`, "node") },
      dockerfile: [
        `FROM ${BASE}`,
        "COPY node docker-entrypoint.sh /usr/local/bin/",
        "COPY repository/ /var/lib/standin-repository/",
        "RUN echo 'deb [trusted=yes] file:/var/lib/standin-repository ./' > /etc/apt/sources.list",
        "RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node",
        `ENV NODE_VERSION=${process.versions.node}`,
        'ENTRYPOINT ["docker-entrypoint.sh"]',
        'CMD ["node"]',
      ],
    },
    {
      // No shell, like the real one.
      name: "quay.io/coreos/etcd:v3.5.16",
      programs: Object.fromEntries(etcd.map((name) => [name, path.join(sources.servers, "usr/bin", name)])),
      dockerfile: [
        "FROM scratch",
        `COPY [${copies(etcd)}, "/usr/local/bin/"]`,
        ...libc,
        "ENV PATH=/usr/local/bin:/usr/bin:/bin",
        "WORKDIR /var/etcd/",
        "WORKDIR /var/lib/etcd/",
        "EXPOSE 2379 2380",
        'CMD ["/usr/local/bin/etcd"]',
      ],
    },
    {
      name: "nats:2-alpine",
      programs: {
        "nats-server": path.join(sources.servers, "usr/sbin/nats-server"),
        busybox: path.join(sources.busybox, "bin/busybox"),
      },
      applets: ["sh", "wget", "cat", "ls"],
      scripts: { "docker-entrypoint.sh": entrypoint(`[ "\${1#-}" != "$1" ]`, "nats-server") },
      dockerfile: [
        "FROM scratch",
        'COPY ["nats-server", "docker-entrypoint.sh", "/usr/local/bin/"]',
        "COPY busybox /bin/",
        "COPY applets/ /bin/",
        ...libc,
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "EXPOSE 4222 8222 6222",
        'ENTRYPOINT ["docker-entrypoint.sh"]',
        'CMD ["nats-server", "--config", "/etc/nats/nats-server.conf"]',
      ],
    },
  ];
}

/** Builds the stand-ins inside `docker`. */
export async function buildStandins(docker: PrivateDocker, sources: StandinSources): Promise<void> {
  await docker.ok(["docker", "import", sources.base, BASE]);
  for (const [at, standin] of standins(sources).entries()) {
    const context = path.join(docker.folder, `standin-${at}`);
    mkdirSync(path.join(context, "applets"), { recursive: true });
    for (const [name, from] of Object.entries(standin.programs)) {
      copyFileSync(from, path.join(context, name));
      chmodSync(path.join(context, name), 0o755);
    }
    for (const [name, from] of Object.entries(standin.folders ?? {}))
      cpSync(from, path.join(context, name), { recursive: true });
    for (const [name, text] of Object.entries(standin.scripts ?? {}))
      writeFileSync(path.join(context, name), text, { mode: 0o755 });
    for (const name of standin.applets ?? []) symlinkSync("busybox", path.join(context, "applets", name));
    writeFileSync(path.join(context, "Dockerfile"), `${standin.dockerfile.join("\n")}\n`);
    await docker.ok(["docker", "build", "--quiet", "--network", "none", "--tag", standin.name, context]);
  }
}
