// Image names as containerd and the kubelet know them: "web" is docker.io/library/web:latest. Pure.

export interface Reference {
  /** Registry host, with its port if any. */
  readonly host: string;
  /** "library/web". */
  readonly repository: string;
  readonly tag?: string;
  /** "sha256:…". */
  readonly digest?: string;
  /** The name by digest where there is one, else by tag; :latest where neither was given. */
  readonly full: string;
}

const PATTERN =
  /^(?<name>[a-zA-Z0-9][a-zA-Z0-9._\-/:[\]]*?)(?::(?<tag>\w[\w.-]{0,127}))?(?:@(?<digest>sha256:[0-9a-f]{64}))?$/;
const PART = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;

/** Parses and completes a name. Throws Error where it is no image reference. */
export function parseReference(text: string): Reference {
  const groups = PATTERN.exec(text)?.groups;
  if (groups === undefined) throw new Error(`invalid reference format: ${JSON.stringify(text)}`);
  const { host, repository } = splitName(groups.name!);
  for (const part of repository.split("/")) {
    if (!PART.test(part)) throw new Error(`invalid reference format: ${JSON.stringify(text)}`);
  }
  const { digest } = groups;
  const tag = groups.tag ?? (digest === undefined ? "latest" : undefined);
  // Where both are given the digest decides, and containerd drops the tag from the name.
  const full = `${host}/${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`;
  return { host, repository, full, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** The part before the first slash is a host only where it looks like one; docker.io's plain names are under library/. */
function splitName(name: string): { host: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = first.includes(".") || first.includes(":") || first === "localhost" || first !== first.toLowerCase();
  if (!isHost) return { host: "docker.io", repository: slash < 0 ? `library/${name}` : name };
  const repository = name.slice(slash + 1);
  if (first === "docker.io" || first === "index.docker.io") {
    return { host: "docker.io", repository: repository.includes("/") ? repository : `library/${repository}` };
  }
  return { host: first, repository };
}
