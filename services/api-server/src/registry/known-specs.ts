// Specs with which nothing was wrong, by their JSON: pods of one template come by the thousand, and validation would find the same
// each time. Guarantee: a spec counts as known only where its text was validated, be it under another random name of the volume
// that admission adds; memory stays bounded.
import { RecentTexts } from "@coxswain/apimachinery";

/** Characters of specs. */
const GENERATION = 1024 * 1024;
/** Longer ones are not worth their room. */
const MAX_LENGTH = 32 * 1024;

const TOKEN_VOLUME = "kube-api-access-";
const SUFFIX_LENGTH = 5;
const SUFFIX = /^[a-z0-9]{5}"$/;
/** JSON text never holds this character, so it stands for one name and for nothing else. */
const PLACEHOLDER = "\u0000";

/** The text with a placeholder for the name of the first volume of tokens: one such name is as good as any other. */
function withoutRandomName(text: string): string {
  const at = text.indexOf(TOKEN_VOLUME);
  if (at < 0) return text;
  const end = at + TOKEN_VOLUME.length + SUFFIX_LENGTH;
  if (!SUFFIX.test(text.slice(end - SUFFIX_LENGTH, end + 1))) return text;
  return text.replaceAll(text.slice(at, end), PLACEHOLDER);
}

export class KnownSpecs {
  readonly #known = new RecentTexts<true>(GENERATION);

  /** The errors of a spec; `validate` is called where that it has none is not known. */
  errorsOf<E>(text: string, validate: (known: boolean) => E[]): E[] {
    if (text.length > MAX_LENGTH) return validate(false);
    const key = withoutRandomName(text);
    const known = this.#known.get(key) === true;
    const errors = validate(known);
    if (!known && errors.length === 0) this.#known.set(key, true);
    return errors;
  }
}
