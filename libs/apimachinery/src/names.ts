// Checks names and other formatted strings. Each function returns upstream-worded messages, none where the value is fine.
// Lengths are in bytes.

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const UNDERSCORE_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const UNDERSCORE = `${UNDERSCORE_LABEL}(\\.${UNDERSCORE_LABEL})*`;
const LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const KEY_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE = `(${KEY_NAME})?`;
const CONFIG_KEY = "[-._a-zA-Z0-9]+";
const HEADER_NAME = "[-A-Za-z0-9]+";
const PERCENT = "[0-9]+%";
const C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*";

const whole = (pattern: string): RegExp => new RegExp(`^${pattern}$`);
const LABEL_PATTERN = whole(LABEL);
const SUBDOMAIN_PATTERN = whole(SUBDOMAIN);
const UNDERSCORE_PATTERN = whole(UNDERSCORE);
const LABEL_1035_PATTERN = whole(LABEL_1035);
const KEY_NAME_PATTERN = whole(KEY_NAME);
const LABEL_VALUE_PATTERN = whole(LABEL_VALUE);
const WILDCARD_PATTERN = whole(`\\*\\.${SUBDOMAIN}`);

const SUBDOMAIN_MESSAGE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const UNDERSCORE_MESSAGE =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
const LABEL_MESSAGE =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const LABEL_1035_MESSAGE =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const KEY_NAME_MESSAGE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_MESSAGE =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** `msg (e.g. 'a',  or 'b', regex used for validation is '…')`: upstream's form, double blank included. */
export function regexMessage(message: string, pattern: string, ...examples: string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${pattern}')`;
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  return `${message} (e.g. ${shown}regex used for validation is '${pattern}')`;
}

/** Upstream's newer checks (label keys and values) say bytes, its older ones (names) characters. */
export function maxLengthMessage(length: number, unit: "bytes" | "characters" = "characters"): string {
  return `must be no more than ${length} ${unit}`;
}

export function rangeMessage(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

function tooLong(value: string, maxBytes: number): boolean {
  return value.length > maxBytes || (value.length * 3 > maxBytes && Buffer.byteLength(value) > maxBytes);
}

/** At most 63 lower-case letters, digits and hyphens. */
export function validateDns1123Label(value: string): string[] {
  const errors = tooLong(value, 63) ? [maxLengthMessage(63)] : [];
  if (!LABEL_PATTERN.test(value)) {
    errors.push(
      SUBDOMAIN_PATTERN.test(value)
        ? "must not contain dots"
        : regexMessage(LABEL_MESSAGE, LABEL, "my-name", "123-abc"),
    );
  }
  return errors;
}

/** At most 253 characters of labels joined by dots. */
export function validateDns1123Subdomain(value: string): string[] {
  const errors = tooLong(value, 253) ? [maxLengthMessage(253)] : [];
  if (!SUBDOMAIN_PATTERN.test(value)) errors.push(regexMessage(SUBDOMAIN_MESSAGE, SUBDOMAIN, "example.com"));
  return errors;
}

/** As a DNS-1123 subdomain, whose labels may have underscores: what resolvers search in. */
export function validateDns1123SubdomainWithUnderscore(value: string): string[] {
  const errors = tooLong(value, 253) ? [maxLengthMessage(253)] : [];
  if (!UNDERSCORE_PATTERN.test(value)) errors.push(regexMessage(UNDERSCORE_MESSAGE, UNDERSCORE, "example.com"));
  return errors;
}

/** As a DNS-1123 label, but starts with a letter: names of Services. */
export function validateDns1035Label(value: string): string[] {
  const errors = tooLong(value, 63) ? [maxLengthMessage(63)] : [];
  if (!LABEL_1035_PATTERN.test(value)) {
    errors.push(regexMessage(LABEL_1035_MESSAGE, LABEL_1035, "my-name", "abc-123"));
  }
  return errors;
}

/** `*.` and a subdomain. */
export function validateWildcardDns1123Subdomain(value: string): string[] {
  const errors = tooLong(value, 253) ? [maxLengthMessage(253)] : [];
  if (!WILDCARD_PATTERN.test(value)) {
    const message =
      "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
    errors.push(regexMessage(message, `\\*\\.${SUBDOMAIN}`, "*.example.com"));
  }
  return errors;
}

/** Keys that were found valid: most objects carry the same few. */
const validKeys = new Set<string>();
const MAX_VALID_KEYS = 4096;

/** A label key: `name` or `example.com/name`. */
export function validateQualifiedName(value: string): string[] {
  if (validKeys.has(value)) return [];
  const errors = qualifiedNameErrors(value);
  if (errors.length === 0) {
    if (validKeys.size >= MAX_VALID_KEYS) validKeys.clear();
    validKeys.add(value);
  }
  return errors;
}

function qualifiedNameErrors(value: string): string[] {
  const parts = value.split("/");
  if (parts.length > 2) {
    return [
      `a valid label key ${regexMessage(KEY_NAME_MESSAGE, KEY_NAME, "MyName", "my.name", "123-abc")} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  const name = parts.at(-1) as string;
  if (parts.length === 2) {
    const prefix = parts[0] as string;
    if (prefix === "") errors.push("prefix part must be non-empty");
    else errors.push(...validateDns1123Subdomain(prefix).map((message) => `prefix part ${message}`));
  }
  if (name === "") errors.push("name part must be non-empty");
  else if (tooLong(name, 63)) errors.push(`name part ${maxLengthMessage(63, "bytes")}`);
  if (!KEY_NAME_PATTERN.test(name)) {
    errors.push(`name part ${regexMessage(KEY_NAME_MESSAGE, KEY_NAME, "MyName", "my.name", "123-abc")}`);
  }
  return errors;
}

/** Upstream's other name for the same rule. */
export const validateLabelKey = validateQualifiedName;

export function validateLabelValue(value: string): string[] {
  const errors = tooLong(value, 63) ? [maxLengthMessage(63, "bytes")] : [];
  if (!LABEL_VALUE_PATTERN.test(value)) {
    errors.push(regexMessage(LABEL_VALUE_MESSAGE, LABEL_VALUE, "MyValue", "my_value", "12345"));
  }
  return errors;
}

/** The IANA service names that container ports may have. */
export function validatePortName(value: string): string[] {
  const errors = value.length > 15 ? [maxLengthMessage(15)] : [];
  if (!/^[-a-z0-9]+$/.test(value)) {
    errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (!/[a-z]/.test(value)) errors.push("must contain at least one letter (a-z)");
  if (value.includes("--")) errors.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) errors.push("must not begin or end with a hyphen");
  return errors;
}

export function validatePortNumber(port: number): string[] {
  return Number.isInteger(port) && port >= 1 && port <= 65535 ? [] : [rangeMessage(1, 65535)];
}

/** A user or group id. */
export function validateUserOrGroupId(id: number): string[] {
  return Number.isInteger(id) && id >= 0 && id <= 0x7fffffff ? [] : [rangeMessage(0, 0x7fffffff)];
}

/** As in `25%`. */
export function validatePercent(value: string): string[] {
  const message = "a valid percent string must be a numeric string followed by an ending '%'";
  return whole(PERCENT).test(value) ? [] : [regexMessage(message, PERCENT, "1%", "93%")];
}

/** Keys of ConfigMaps and Secrets. */
export function validateConfigMapKey(value: string): string[] {
  const errors = tooLong(value, 253) ? [maxLengthMessage(253)] : [];
  if (!whole(CONFIG_KEY).test(value)) {
    const message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    errors.push(regexMessage(message, CONFIG_KEY, "key.name", "KEY_NAME", "key-name"));
  }
  return [...errors, ...dotErrors(value)];
}

/** Any printable ASCII but `=`: what 1.34 and later take as a variable's name. */
export function validateEnvVarName(value: string): string[] {
  const errors = value === "" ? ["environment variable name must be non-empty"] : [];
  if (!/^[\x20-\x3c\x3e-\x7e]*$/.test(value)) {
    errors.push("a valid environment variable name must consist only of printable ASCII characters other than '='");
  }
  return errors;
}

export function validateHttpHeaderName(value: string): string[] {
  const message = "a valid HTTP header must consist of alphanumeric characters or '-'";
  return whole(HEADER_NAME).test(value) ? [] : [regexMessage(message, HEADER_NAME, "X-Header-Name")];
}

export function validateCIdentifier(value: string): string[] {
  const message =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
  return whole(C_IDENTIFIER).test(value) ? [] : [regexMessage(message, C_IDENTIFIER, "my_name", "MY_NAME", "MyName")];
}

/** A name that becomes one segment of a URL path: RBAC objects. */
export function validatePathSegmentName(value: string, prefix = false): string[] {
  if (!prefix && (value === "." || value === "..")) return [`may not be '${value}'`];
  return ["/", "%"].filter((each) => value.includes(each)).map((each) => `may not contain '${each}'`);
}

function dotErrors(value: string): string[] {
  if (value === ".") return ["must not be '.'"];
  if (value === "..") return ["must not be '..'"];
  return value.startsWith("..") ? ["must not start with '..'"] : [];
}
