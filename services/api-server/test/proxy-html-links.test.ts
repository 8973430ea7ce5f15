// Links of a page on their way through the proxy: what is rewritten and what is left, however the text is cut into pieces.
import fc from "fast-check";
import { expect, test } from "vitest";
import { rewriteLocation } from "../src/rest/proxy/proxy-headers.ts";
import { HtmlLinks } from "../src/rest/proxy/html-links.ts";

const rewriting = { prefix: "/p", backend: "10.0.0.1:80", requestHost: "api:6443" };

/** The page as it leaves when it comes in pieces of `size` bytes. */
async function through(page: string | Buffer, size = 7): Promise<Buffer> {
  const links = new HtmlLinks((link) => rewriteLocation(link, rewriting));
  const bytes = Buffer.from(page);
  for (let at = 0; at < bytes.length; at += size) links.write(bytes.subarray(at, at + size));
  links.end();
  const out: Buffer[] = [];
  for await (const chunk of links as AsyncIterable<Buffer>) out.push(chunk);
  return Buffer.concat(out);
}

test.each([
  ['<a href="/x?a=1&amp;b#c">', '<a href="/p/x?a=1&amp;b#c">'],
  ["<A class=big HREF='/x'>", "<A class=big HREF='/p/x'>"],
  ["<img src=/x alt=/y>", "<img src=/p/x alt=/y>"],
  ['<a href="/p/x">', '<a href="/p/x">'],
  ['<a href="x/y">', '<a href="x/y">'],
  ['<a href="http://example.test/x">', '<a href="http://example.test/x">'],
  ['<a href="http://10.0.0.1:80/x">', '<a href="/p/x">'],
  ['<a title="> " href="/x">', '<a title="> " href="/p/x">'],
  ['<div href="/x">', '<div href="/x">'],
  ['<!-- <a href="/x"> -->', '<!-- <a href="/x"> -->'],
  [
    '<script src="/x">"<a href=\'/y\'>"</SCRIPT ><a href="/z">',
    '<script src="/p/x">"<a href=\'/y\'>"</SCRIPT ><a href="/p/z">',
  ],
  ['1 < 2 <a href="/é">é</a', '1 < 2 <a href="/p/é">é</a'],
  ['<a href="/x" <', '<a href="/x" <'],
])("%s", async (page, wanted) => {
  for (const size of [1, 2, 7, 1000]) expect((await through(page, size)).toString()).toBe(wanted);
});

test("what has no links comes out as it went in, byte for byte", async () => {
  const parts = fc.constantFrom(
    "<",
    ">",
    "!--",
    "-->",
    "<script>",
    "</script>",
    "<a href='",
    "'",
    '"',
    "x",
    " ",
    "é",
    "<title",
    "\n",
  );
  const text = fc.array(parts, { maxLength: 40 }).map((all) => all.join(""));
  await fc.assert(
    fc.asyncProperty(text, fc.integer({ min: 1, max: 20 }), async (page, size) => {
      expect((await through(page, size)).toString()).toBe(page);
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      expect((await through(Buffer.from(bytes), 13)).equals(bytes)).toBe(true);
    }),
  );
});

test("a tag that never ends is let go", async () => {
  const page = `<a href="/x ${"y".repeat(300_000)}`;
  expect((await through(page, 16_384)).toString()).toBe(page);
});
