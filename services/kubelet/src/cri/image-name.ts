// Image references as runtimes read them: a short name means docker.io/library, and no tag means latest.
const COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const HOST = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\\d+)?/)?";
const REFERENCE = new RegExp(
  `^(?<host>${HOST})(?<path>${COMPONENT}(?:/${COMPONENT})*)(?::(?<tag>\\w[\\w.-]{0,127}))?(?:@(?<digest>[a-z0-9]+:[0-9a-fA-F]{32,}))?$`,
);

export interface ImageName {
  /** With registry, repository and tag or digest. */
  readonly full: string;
  readonly repository: string;
  /** With its port; "docker.io" where the reference names none. */
  readonly registry: string;
}

/** The image in full, as runtimes name it; undefined where the text is no reference. */
export function parseImageName(image: string): ImageName | undefined {
  const groups = REFERENCE.exec(image)?.groups;
  if (groups === undefined) return undefined;
  let host = (groups["host"] ?? "").replace(/\/$/, "");
  let path = groups["path"] ?? "";
  // The first part is a registry only where it looks like one.
  if (host !== "" && !/[.:]/.test(host) && host !== "localhost") {
    path = `${host}/${path}`;
    host = "";
  }
  if (/[A-Z]/.test(path)) return undefined;
  const registry = host === "" ? "docker.io" : host;
  const repository = `${registry}/${host !== "" || path.includes("/") ? path : `library/${path}`}`;
  const { tag, digest } = groups;
  const suffix = `${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
  return { full: `${repository}${suffix === "" ? ":latest" : suffix}`, repository, registry };
}
