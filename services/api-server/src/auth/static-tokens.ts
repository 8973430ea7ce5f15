// Tokens of a file that somebody wrote by hand: lines of token, user name, user id and, in one quoted column, groups.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#static-token-file
import { parse } from "csv-parse/sync";
import type { UserInfo } from "@coxswain/component-base";
import { AUTHENTICATED_GROUP } from "./identity.ts";

export type StaticTokens = ReadonlyMap<string, UserInfo>;

const COLUMNS = ["token", "user name", "user uid"];

/**
 * Users by their token. `warn` hears of lines without a token and of tokens that stand twice: of those the last counts.
 * @throws Error where a line has too few columns or is no CSV
 */
export function parseTokenFile(text: string, file: string, warn: (message: string) => void): StaticTokens {
  const lines = parse(text, { relax_column_count: true, skip_empty_lines: true });
  const found = new Map<string, UserInfo>();
  for (const [at, line] of lines.entries()) {
    const [token = "", username, uid, groups] = line;
    if (username === undefined || uid === undefined) {
      const columns = `at least ${COLUMNS.length} columns (${COLUMNS.join(", ")}), found ${line.length}`;
      throw new Error(`token file '${file}' must have ${columns}`);
    }
    if (token === "") {
      warn(`empty token has been found in token file '${file}', record number '${at + 1}'`);
      continue;
    }
    if (found.has(token)) warn(`duplicate token has been found in token file '${file}', record number '${at + 1}'`);
    found.set(token, { username, uid, groups: [...(groups?.split(",") ?? []), AUTHENTICATED_GROUP] });
  }
  return found;
}
