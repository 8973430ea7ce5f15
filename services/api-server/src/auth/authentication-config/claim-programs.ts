// Expressions over the claims of a token, and over the user that was made of them. Each is compiled once.
import { CelScope, celToJson, type CelProgram, type CelType } from "@coxswain/cel";

const STRING: CelType = { is: "string" };
const STRINGS: CelType = { is: "list", items: STRING };
const USER: CelType = {
  is: "object",
  name: "kubernetes.UserInfo",
  fields: { username: STRING, uid: STRING, groups: STRINGS, extra: { is: "map", values: STRINGS } },
};

type Of = "claims" | "user";
/** "text": a string or a list of them. */
type Want = "bool" | "string" | "text";

const ACCEPTED: Readonly<Record<Want, readonly string[]>> = {
  bool: ["bool", "dyn"],
  string: ["string", "dyn"],
  text: ["string", "list", "list<string>", "list<dyn>", "dyn"],
};
const WANTED: Readonly<Record<Want, string>> = { bool: "bool", string: "string", text: "string or a list of strings" };

export class ClaimPrograms {
  readonly #scopes: Readonly<Record<Of, CelScope>> = {
    claims: new CelScope({ claims: { is: "map", values: { is: "dyn" } } }),
    user: new CelScope({ user: USER }),
  };
  readonly #known = new Map<string, CelProgram>();

  /** What is wrong with an expression; undefined where it can be asked. */
  issue(expression: string, of: Of, want: Want): string | undefined {
    const compiled = this.#scopes[of].compile(expression);
    if ("issue" in compiled) return `compilation failed: ${compiled.issue}`;
    this.#known.set(`${of} ${expression}`, compiled.program);
    if (ACCEPTED[want].includes(compiled.program.type)) return undefined;
    return `must evaluate to ${WANTED[want]}, got ${compiled.program.typeText}`;
  }

  /** @throws CelFailure, and Error where the expression does not compile */
  value(expression: string, of: Of, json: unknown): unknown {
    const key = `${of} ${expression}`;
    let program = this.#known.get(key);
    if (program === undefined) {
      const compiled = this.#scopes[of].compile(expression);
      if ("issue" in compiled) throw new Error(compiled.issue);
      program = compiled.program;
      this.#known.set(key, program);
    }
    return celToJson(program.run({ [of]: this.#scopes[of].value(of, json) }).value);
  }
}
