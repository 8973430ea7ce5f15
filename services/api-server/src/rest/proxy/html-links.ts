// Links of a page that came through the proxy. Guarantee: an absolute path in an attribute that holds a link is rewritten, and
// no other byte is touched; scripts, styles and comments stay as they are. It works on the text as it comes and holds no more
// than one tag.
import { Transform } from "node:stream";
import type { TransformCallback } from "node:stream";

const LINKS: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  applet: ["codebase"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  command: ["icon"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  head: ["profile"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["formaction", "src", "usemap"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  video: ["poster", "src"],
};
/** Elements whose content is no markup. */
const RAW = new Set(["iframe", "noembed", "noframes", "noscript", "script", "style", "textarea", "title", "xmp"]);
/** What looks like an unfinished tag and is longer is no tag. */
const MAX_HELD = 64 * 1024;

const TAG = /<([a-z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/iy;
const ATTRIBUTE = /([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'>]+)/g;

/** One start tag, with what `rewrite` makes of its links. */
function rewriteTag(name: string, attributes: string, rewrite: (link: string) => string): string {
  const links = LINKS[name.toLowerCase()];
  if (links === undefined) return `<${name}${attributes}>`;
  const changed = attributes.replace(ATTRIBUTE, (whole, attribute: string, equals: string, value: string) => {
    if (!links.includes(attribute.toLowerCase())) return whole;
    const [quote = ""] = /^["']/.exec(value) ?? [];
    const link = quote === "" ? value : value.slice(1, -1);
    return `${attribute}${equals}${quote}${rewrite(link)}${quote}`;
  });
  return `<${name}${changed}>`;
}

export class HtmlLinks extends Transform {
  readonly #rewrite: (link: string) => string;
  /** Not yet known to be what it looks like. */
  #held = "";
  /** The element of raw content that is open. */
  #raw: string | undefined;

  constructor(rewrite: (link: string) => string) {
    super();
    this.#rewrite = rewrite;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    // One character a byte, whatever the page's encoding.
    this.#held += chunk.toString("latin1");
    done(null, Buffer.from(this.#take(false), "latin1"));
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.from(this.#take(true) + this.#held, "latin1"));
  }

  /** What is ready to go; the rest stays held. */
  #take(final: boolean): string {
    const text = this.#held;
    let [out, at] = ["", 0];
    while (at < text.length) {
      const next = this.#next(text, at);
      if (next === undefined && !final && text.length - at < MAX_HELD) break;
      const { end, piece } = next ?? { end: at + 1, piece: text.slice(at, at + 1) };
      out += piece;
      at = end;
    }
    this.#held = text.slice(at);
    return out;
  }

  /** The next piece from `at` on, as it goes out; undefined where its end has not come. */
  #next(text: string, at: number): { end: number; piece: string } | undefined {
    const as = (end: number) => ({ end, piece: text.slice(at, end) });
    if (this.#raw !== undefined) return this.#nextRaw(text, at, this.#raw);
    if (text[at] !== "<") {
      const open = text.indexOf("<", at);
      return as(open < 0 ? text.length : open);
    }
    if (text.startsWith("<!--", at)) {
      const close = text.indexOf("-->", at + 4);
      return close < 0 ? undefined : as(close + 3);
    }
    if (at + 4 > text.length && "<!--".startsWith(text.slice(at))) return undefined;
    if (!/[a-z]/i.test(text[at + 1] ?? "")) return as(at + 1);
    TAG.lastIndex = at;
    const [whole, name = "", attributes = ""] = TAG.exec(text) ?? [];
    if (whole === undefined) return undefined;
    if (RAW.has(name.toLowerCase())) this.#raw = name.toLowerCase();
    return { end: at + whole.length, piece: rewriteTag(name, attributes, this.#rewrite) };
  }

  #nextRaw(text: string, at: number, raw: string): { end: number; piece: string } | undefined {
    const close = new RegExp(`</${raw}[\\s/>]`, "ig");
    close.lastIndex = at;
    const found = close.exec(text);
    if (found === null) {
      const safe = text.length - raw.length - 2;
      return safe > at ? { end: safe, piece: text.slice(at, safe) } : undefined;
    }
    this.#raw = undefined;
    return { end: found.index + 1, piece: text.slice(at, found.index + 1) };
  }
}
