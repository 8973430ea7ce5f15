// Packages in CommonJS, and Node's own modules, load when one of their members is first asked for: many a process bundles some
// that it never asks, and esbuild would load them all, and copy all of their members once for each file that names them.
// Pure: text in, text out. No line moves, so that source maps hold.

/** As esbuild writes it: `import_x = __toESM(require_x(), 1)`. The number says that the importer is a module. */
const DECLARATION = /\b(import_\w+) = __toESM\((require_[\w$]+)\(\)(, 1)?\)/g;

/**
 * Its members are made as they are asked for, each once. Only those that the bundle names are there. The default is what
 * __toESM makes of it.
 */
const HELPER = [
  "var __lazyESM = (load, fromModule, names) => { let target = {};",
  "for (let name of names) Object.defineProperty(target, name, { configurable: true, enumerable: true, get() {",
  'let all = load(), value = name === "default" && (fromModule || !all || !all.__esModule) ? all : all[name];',
  "if (value !== void 0) Object.defineProperty(target, name, { value, enumerable: true });",
  "return value; } }); return target; };",
].join(" ");

/** Throws where the text of the bundle `file` uses an import in a way that this does not know. */
export function lazyImports(file: string, text: string): string {
  const uses = new Map<string, Set<string>>();
  for (const [, name = ""] of text.matchAll(DECLARATION)) uses.set(name, new Set());
  if (uses.size === 0) return text;
  for (const [whole, name = "", member] of text.matchAll(/\b(import_\w+)\b(?:\.([\w$]+)| = __toESM\(|)/g)) {
    const members = uses.get(name);
    if (members === undefined || whole.endsWith("(")) continue;
    if (member !== undefined) members.add(member);
    // What is only declared is assigned later.
    else if (!isDeclared(text, name)) throw new Error(`${file} uses ${name} in another way than by its members`);
  }
  const lazy = text.replaceAll(DECLARATION, (whole, name: string, load: string, fromModule: string | undefined) => {
    const members = [...(uses.get(name) ?? [])];
    // Nobody asks a member of it: it is loaded for what it does.
    if (members.length === 0) return whole;
    return `${name} = __lazyESM(${load}, ${fromModule === undefined ? 0 : 1}, ${JSON.stringify(members)})`;
  });
  const [strict = ""] = /^"use strict";/.exec(lazy) ?? [];
  return `${strict} ${HELPER}${lazy.slice(strict.length)}`;
}

/** Whether every use of the name that names no member stands in a list of declarations: `var a, import_x, b;`. */
function isDeclared(text: string, name: string): boolean {
  const bare = text.matchAll(new RegExp(`(?:\\bvar |, )(${name})\\b(?=[,;])|\\b${name}\\b(?!\\.| = __toESM\\()`, "g"));
  return [...bare].every(([, declared]) => declared !== undefined);
}
