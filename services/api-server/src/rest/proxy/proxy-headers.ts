// What changes in the head of a request and an answer on their way through the api-server. Pure. Guarantees: nobody behind
// the proxy sees the client's credentials; headers of one hop stay on it; redirects lead back through the proxy.
import type { IncomingMessage } from "node:http";
import type { UserInfo } from "@coxswain/component-base";

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** What the api-server has answered or read itself. */
const NOT_FORWARDED: ReadonlySet<string> = new Set(["authorization", "expect", "x-forwarded-for", "x-forwarded-uri"]);

/** A request's path: the proxy's own, and what follows it. */
export interface ProxyPath {
  readonly prefix: string;
  /** Starts with "/", or is empty. */
  readonly rest: string;
  /** With its "?", or empty. */
  readonly query: string;
}

/** `url` is a proxy request's; its path is kept as it was escaped. */
export function splitProxyPath(url: string): ProxyPath {
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? "" : url.slice(mark);
  const segments = path.split("/");
  // /api/v1/nodes/NAME/proxy, or /api/v1/namespaces/NAMESPACE/pods/NAME/proxy
  const prefix = segments.slice(0, segments[3] === "namespaces" ? 8 : 6).join("/");
  return { prefix, rest: path.slice(prefix.length), query };
}

function* headersOf({ rawHeaders }: IncomingMessage): Iterable<[name: string, value: string]> {
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) yield [rawHeaders[at] ?? "", rawHeaders[at + 1] ?? ""];
}

function isOfThisHop(message: IncomingMessage): (name: string) => boolean {
  const named = (message.headers.connection ?? "").toLowerCase().split(",");
  const own = new Set(named.map((name) => name.trim()));
  return (name) => HOP_BY_HOP.has(name) || own.has(name);
}

const token = (text: string): string =>
  text.toLowerCase().replace(/[^a-z0-9!#$&'*+.^_`|~-]/g, (character) => encodeURIComponent(character));

/** Tells a server that trusts this one who asks. https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/ */
export function identityHeaders({ username, uid, groups, extra }: UserInfo): string[] {
  const out = ["X-Remote-User", username];
  if (uid !== undefined && uid !== "") out.push("X-Remote-Uid", uid);
  for (const group of groups) out.push("X-Remote-Group", group);
  for (const [key, values] of Object.entries(extra ?? {})) {
    for (const value of values) out.push(`X-Remote-Extra-${token(key)}`, value);
  }
  return out;
}

/** Names and values in turn, as the one behind the proxy gets them; `user` for one that is to know who asks. */
export function requestHeaders(request: IncomingMessage, path: ProxyPath, upgrade: boolean, user?: UserInfo): string[] {
  const ofThisHop = isOfThisHop(request);
  const drop = (name: string): boolean => ofThisHop(name) || (user !== undefined && name.startsWith("x-remote-"));
  const out: string[] = [];
  for (const [name, value] of headersOf(request)) {
    const lower = name.toLowerCase();
    if (!drop(lower) && !NOT_FORWARDED.has(lower) && !lower.startsWith("impersonate-")) out.push(name, value);
  }
  const from = [request.headers["x-forwarded-for"], request.socket.remoteAddress].flat();
  out.push("X-Forwarded-For", from.filter((address) => address !== undefined).join(", "));
  out.push("X-Forwarded-Uri", path.prefix + path.rest);
  if (upgrade) out.push("Connection", "Upgrade", "Upgrade", request.headers.upgrade ?? "");
  else out.push("Connection", "close");
  if (request.headers["transfer-encoding"] !== undefined) out.push("Transfer-Encoding", "chunked");
  if (user !== undefined) out.push(...identityHeaders(user));
  return out;
}

export interface Rewriting {
  readonly prefix: string;
  /** host:port of the one behind the proxy. */
  readonly backend: string;
  /** The Host that the client asked for. */
  readonly requestHost: string;
}

/** A Location as the client has to follow it: through the proxy, where it stays on the same server. */
export function rewriteLocation(location: string, { prefix, backend, requestHost }: Rewriting): string {
  const [, authority, path = "", tail = ""] =
    /^(?:[a-z][a-z\d+.-]*:)?(?:\/\/([^/?#]*))?([^?#]*)(.*)$/is.exec(location) ?? [];
  const elsewhere = authority !== undefined && authority !== backend && authority !== requestHost;
  if (elsewhere || !path.startsWith("/")) return location;
  const proxied = path === prefix || path.startsWith(`${prefix}/`);
  return `${proxied ? "" : prefix}${path}${tail}`;
}

const READABLE_ENCODINGS: ReadonlySet<string> = new Set(["", "identity", "gzip", "deflate"]);
const hasWholeBody = (code: number): boolean => code >= 200 && code !== 204 && code !== 206 && code !== 304;

/** Whether links of the answer's body are to be rewritten: of a whole page that can be read. */
export function isPage(method: string | undefined, { statusCode = 0, headers }: IncomingMessage): boolean {
  const [type = ""] = (headers["content-type"] ?? "").split(";");
  if (type.trim().toLowerCase() !== "text/html" || method === "HEAD" || !hasWholeBody(statusCode)) return false;
  return READABLE_ENCODINGS.has(headers["content-encoding"] ?? "");
}

/** Names and values in turn, as the client gets them; of a `page`, without what is said of its bytes. */
export function responseHeaders(answer: IncomingMessage, rewriting: Rewriting, page: boolean): string[] {
  const ofThisHop = isOfThisHop(answer);
  const drop = (name: string): boolean =>
    ofThisHop(name) || (page && (name === "content-length" || name === "content-encoding"));
  const out: string[] = [];
  for (const [name, value] of headersOf(answer)) {
    const lower = name.toLowerCase();
    if (lower === "location") out.push(name, rewriteLocation(value, rewriting));
    else if (!drop(lower)) out.push(name, value);
  }
  return out;
}
