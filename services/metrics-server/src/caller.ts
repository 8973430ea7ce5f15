// Who asks. An api-server says so in headers, for its users; others prove it by a certificate or a token of their own. Guarantee:
// the headers count only from a peer whose certificate bears a name that the cluster allows to speak for others.
// https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/#authentication-flow
import type { IncomingMessage } from "node:http";
import type { UserInfo } from "@coxswain/component-base";
import { certificateUser, type Authenticate } from "@coxswain/component-base/credentials";
import { requestCredentials } from "@coxswain/component-base/http-endpoints";

const USER = "x-remote-user";
const UID = "x-remote-uid";
const GROUP = "X-Remote-Group";
const EXTRA_PREFIX = "x-remote-extra-";

/** The values of a header that may come several times, or with commas between them. */
function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === name.toLowerCase()) values.push(rawHeaders[at + 1] ?? "");
  }
  return values;
}

function extraOf(rawHeaders: readonly string[]): Record<string, string[]> {
  const names = rawHeaders
    .filter((_, at) => at % 2 === 0)
    .map((name) => name.toLowerCase())
    .filter((name) => name.startsWith(EXTRA_PREFIX));
  return Object.fromEntries(
    [...new Set(names)].map((name) => [
      decodeURIComponent(name.slice(EXTRA_PREFIX.length)),
      valuesOf(rawHeaders, name),
    ]),
  );
}

/** Undefined where nobody is proved. `proxies` are the names that may speak for others. */
export async function callerOf(
  request: IncomingMessage,
  proxies: readonly string[],
  authenticate: Authenticate,
): Promise<UserInfo | undefined> {
  const credentials = requestCredentials(request);
  const username = request.headers[USER];
  const { certificate } = credentials;
  const peer = certificate === undefined ? undefined : certificateUser(certificate)?.username;
  if (typeof username === "string" && username !== "" && peer !== undefined && proxies.includes(peer)) {
    const uid = request.headers[UID];
    const extra = extraOf(request.rawHeaders);
    return {
      username,
      groups: valuesOf(request.rawHeaders, GROUP),
      ...(typeof uid === "string" && uid !== "" ? { uid } : {}),
      ...(Object.keys(extra).length === 0 ? {} : { extra }),
    };
  }
  return authenticate(credentials);
}
