// URLs as Go reads them: what was written stays as it was written, be it a port that goes without saying or a host in capitals.
// https://pkg.go.dev/net/url#ParseRequestURI

export class CelUrl {
  readonly text: string;
  readonly scheme: string;
  /** With the port, without who asks. */
  readonly host: string;
  /** As it is sent. */
  readonly path: string;
  readonly query: string;
  constructor(text: string, parts: Pick<CelUrl, "scheme" | "host" | "path" | "query">) {
    this.text = text;
    this.scheme = parts.scheme;
    this.host = parts.host;
    this.path = parts.path;
    this.query = parts.query;
  }
}

const CONTROL = /\p{Cc}/u;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const PATH_ODD = /[^A-Za-z0-9\-._~!$&'()*+,;=:@/%[\]]/g;
const HOST = /^(?:\[[^\]]*\]|[A-Za-z0-9\-._~!$&'()*+,;=%"<>\u0080-\uffff]*)(?::\d*)?$/;

/** Undefined where the text is no URL that one can ask for. */
export function parseUrl(text: string): CelUrl | undefined {
  if (text === "" || CONTROL.test(text)) return undefined;
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? "";
  const rest = scheme === "" ? text : text.slice(scheme.length + 1);
  const mark = rest.indexOf("?");
  const before = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? "" : rest.slice(mark + 1);
  // What follows a scheme without a slash is nobody's path.
  if (!before.startsWith("/")) {
    return scheme === "" ? undefined : new CelUrl(text, { scheme: scheme.toLowerCase(), host: "", path: "", query });
  }
  const hasHost = before.startsWith("//") && (scheme !== "" || !before.startsWith("///")) && scheme !== "";
  const slash = hasHost ? before.indexOf("/", 2) : 0;
  const authority = hasHost ? before.slice(2, slash < 0 ? undefined : slash) : "";
  const path = hasHost ? (slash < 0 ? "" : before.slice(slash)) : before;
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  if (!HOST.test(host) || BAD_ESCAPE.test(path) || BAD_ESCAPE.test(host)) return undefined;
  const escaped = path.replace(PATH_ODD, (each) => encodeURIComponent(each));
  return new CelUrl(text, { scheme: scheme.toLowerCase(), host, path: escaped, query });
}

/** Without the port, and without the brackets of an IPv6 address. */
export function hostnameOf({ host }: CelUrl): string {
  return /^\[(.*)\](?::\d*)?$/.exec(host)?.[1] ?? host.replace(/:\d*$/, "");
}

export function portOf({ host }: CelUrl): string {
  return /:(\d*)$/.exec(host)?.[1] ?? "";
}

export function queryOf({ query }: CelUrl): Map<string, string[]> {
  const params = new URLSearchParams(query);
  return new Map([...params.keys()].map((key) => [key, params.getAll(key)]));
}
