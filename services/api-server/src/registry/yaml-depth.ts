// Looks at YAML before it is parsed: the parser takes ages over what is nested without end, and nothing else runs meanwhile.
// Guarantee: linear in the text; ordinary documents are not split into tokens for it.
import { MAX_JSON_DEPTH } from "@coxswain/apimachinery";
import { Lexer } from "yaml";

/** Two levels at most begin at one column: a list may stand right below the key that it is of. */
const MAX_COLUMN = 2 * MAX_JSON_DEPTH;
const FAR_INDENTED = new RegExp(`^[ \\t?:-]{${MAX_COLUMN}}`, "m");
/** The lexer's mark before a scalar that is not quoted. */
const SCALAR = "\u001f";

/** True where collections stand in each other more than MAX_JSON_DEPTH deep, or so far to the right that they may. */
export function isTooDeep(text: string): boolean {
  if (!opensMany(text) && !FAR_INDENTED.test(text)) return false;
  let open = 0;
  let column = 0;
  let scalar = false;
  for (const token of new Lexer().lex(text)) {
    if (token === SCALAR && !scalar) {
      scalar = true;
      continue;
    }
    if (!scalar) {
      if (token === "[" || token === "{") open++;
      else if (token === "]" || token === "}") open--;
      const item = token === "-" || token === "?";
      if (open > MAX_JSON_DEPTH || (item && column > MAX_COLUMN)) return true;
    }
    scalar = false;
    const lineEnd = token.lastIndexOf("\n");
    column = lineEnd < 0 ? column + token.length : token.length - lineEnd - 1;
  }
  return false;
}

function opensMany(text: string): boolean {
  const bracket = /[[{]/g;
  for (let count = 0; bracket.test(text);) if (++count > MAX_JSON_DEPTH) return true;
  return false;
}
