// Dockerfiles that can be built without a container, and the ones that are refused with line and reason.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BuildFileError, copyFiles, parseBuildFile, planBuild } from "../src/build-file.ts";

let context: string;
beforeAll(() => {
  context = mkdtempSync(path.join(tmpdir(), "cox-build-"));
  mkdirSync(path.join(context, "site/css"), { recursive: true });
  writeFileSync(path.join(context, "site/index.html"), "<p>");
  writeFileSync(path.join(context, "site/css/a.css"), "a");
  writeFileSync(path.join(context, "run.sh"), "#!/bin/sh\n");
});
afterAll(() => rmSync(context, { recursive: true, force: true }));

const plan = (text: string) => planBuild(parseBuildFile(text));

test("a base, files and how it runs", () => {
  const { base, config, copies } = plan(`# a web server
FROM coxswain.local/busybox:1
ENV GREETING="hello world" LANG=C \\
    EMPTY=
ENV OLD some value
LABEL org.example.title='web'
WORKDIR /srv
WORKDIR www
COPY --chmod=755 run.sh /usr/bin/
COPY ["site", "."]
EXPOSE 8080 53/udp
USER 1000:1000
STOPSIGNAL SIGQUIT
ENTRYPOINT ["httpd", "-f"]
CMD -p 8080
`);
  expect(base).toBe("coxswain.local/busybox:1");
  expect(config).toEqual({
    Env: ["GREETING=hello world", "LANG=C", "EMPTY=", "OLD=some value"],
    Labels: { "org.example.title": "web" },
    WorkingDir: "/srv/www",
    ExposedPorts: { "8080/tcp": {}, "53/udp": {} },
    User: "1000:1000",
    StopSignal: "SIGQUIT",
    Entrypoint: ["httpd", "-f"],
    Cmd: ["/bin/sh", "-c", "-p 8080"],
  });
  expect(copies).toEqual([
    { line: 9, sources: ["run.sh"], target: "/usr/bin/", mode: 0o755 },
    { line: 10, sources: ["site"], target: "/srv/www/", mode: undefined },
  ]);
  expect(plan("FROM scratch").base).toBeUndefined();
});

test.each([
  ["FROM a\nRUN make", "line 2: RUN is not supported: images are built with no container"],
  ["COPY a b", "line 1: the first instruction must be FROM"],
  ["", "line 1: the first instruction must be FROM"],
  ["FROM a\nFROM b", "line 2: a second FROM is not supported"],
  ["FROM a AS b", "line 1: FROM takes one image"],
  ["FROM a\nCOPY --from=b c d", "line 2: COPY --from=b is not supported"],
  ["FROM a\nADD https://example.test/x /x", "line 2: ADD https://example.test/x: nothing is fetched here"],
  ["FROM a\nCOPY x", "line 2: COPY takes at least one source and a target"],
  ['FROM a\nCMD ["x"', 'line 2: ["x" is no list of strings'],
  ["FROM a\nENV X", "line 2: ENV takes KEY=VALUE"],
  ["FROM a\nFRON b", "line 2: unknown instruction: FRON"],
  ["FROM a\nCOPY x \\", "line 2: the last line is continued by nothing"],
])("%j is refused", (text, message) => {
  expect(() => plan(text)).toThrow(BuildFileError);
  expect(() => plan(text)).toThrow(message);
});

test("files and folders go where COPY says, with the folders they lie in", async () => {
  const at = async (sources: string[], target: string, mode?: number) =>
    (await copyFiles(context, { line: 3, sources, target, mode })).map((file) => [file.path, file.kind, file.mode]);
  expect(await at(["run.sh"], "/usr/bin/", 0o755)).toEqual([
    ["usr", "directory", 0o755],
    ["usr/bin", "directory", 0o755],
    ["usr/bin/run.sh", "copy", 0o755],
  ]);
  expect((await at(["site"], "/www/")).map(([file]) => String(file)).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
    "www",
    "www/css",
    "www/css/a.css",
    "www/index.html",
  ]);
  expect((await at(["run.sh"], "/start", 0o700)).at(-1)).toEqual(["start", "copy", 0o700]);
  await expect(at(["../elsewhere"], "/x")).rejects.toThrow("line 3: ../elsewhere lies outside of the build's folder");
  await expect(at(["nothing"], "/x")).rejects.toThrow("line 3: nothing: no such file or folder");
});
