// Matching of subjects, as in NATS: `*` stands for one token, a final `>` for one or more.

/** True where the subject is made of non-empty tokens without wildcards or white space. */
export function isSubject(subject: string): boolean {
  return !/\s/.test(subject) && subject.split(".").every((token) => token !== "" && token !== "*" && token !== ">");
}

/** Does `pattern` hear `subject`? */
export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [at, want] of wanted.entries()) {
    if (want === ">" && at === wanted.length - 1) return tokens.length > at;
    if (at >= tokens.length || (want !== "*" && want !== tokens[at])) return false;
  }
  return tokens.length === wanted.length;
}
