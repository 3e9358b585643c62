import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Modules } from "../src/modules";

const never = new AbortController().signal;
let top = "";
let folder = "";
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "rap-modules-"));
  folder = join(top, "functions");
  mkdirSync(folder);
});
afterEach(() => rmSync(top, { recursive: true }));

const write = (name: string, text: string, where = folder): string => {
  writeFileSync(join(where, name), text);
  return join(where, name);
};
const esm = (result: unknown) => `export const f = () => ${JSON.stringify(result)};`;
const cjs = (result: unknown) => `exports.f = () => ${JSON.stringify(result)};`;

describe("a function is found", () => {
  test("in ES modules and CommonJS, by a path from a folder or an absolute one, in subfolders too", async () => {
    const modules = new Modules({ folders: [folder] });
    mkdirSync(join(folder, "deep"));
    write("a.mjs", esm("mjs"));
    write("b.cjs", cjs("cjs"));
    const absolute = write("deep/c.js", cjs("js"));
    for (const [path, result] of [
      ["a.mjs", "mjs"],
      ["./b.cjs", "cjs"],
      ["deep/../deep/c.js", "js"],
      [absolute, "js"],
    ]) {
      expect((await modules.find(path, "f", false, never))()).toBe(result);
    }
  });

  test("in the first of several folders that has the file, and by the name of a link to a folder", async () => {
    const other = join(top, "other");
    mkdirSync(other);
    write("a.cjs", cjs("first"));
    write("a.cjs", cjs("second"), other);
    write("b.cjs", cjs("b"), other);
    const link = join(top, "link");
    symlinkSync(folder, link);
    const modules = new Modules({ folders: [link, other] });
    for (const [path, result] of [
      ["a.cjs", "first"],
      ["b.cjs", "b"],
      [join(link, "a.cjs"), "first"],
      [join(folder, "a.cjs"), "first"],
    ]) {
      expect((await modules.find(path, "f", false, never))()).toBe(result);
    }
  });

  test("as an own property only, be it of the default export", async () => {
    const modules = new Modules({ folders: [folder] });
    write("dynamic.cjs", "module.exports = Object.fromEntries([['f', () => 'f']]);");
    expect((await modules.find("dynamic.cjs", "f", false, never))()).toBe("f");
    for (const name of ["toString", "constructor", "__proto__", "hasOwnProperty", "default"]) {
      await expect(modules.find("dynamic.cjs", name, false, never)).rejects.toMatchObject({
        code: "NOT_FOUND",
        message: `"dynamic.cjs" exports no function "${name}"`,
      });
    }
  });
});

describe("nothing is loaded", () => {
  test("from outside of the folders, and whether there is such a file is not told", async () => {
    const modules = new Modules({ folders: [folder] });
    write("secret.cjs", "globalThis.rapTestLeak = 1; exports.f = () => 1;", top);
    for (const path of [
      "../secret.cjs",
      "../missing.cjs",
      join(top, "secret.cjs"),
      join(top, "missing.cjs"),
      `${folder}-not/x.cjs`,
      "..js/../../secret.cjs",
    ]) {
      await expect(modules.find(path, "f", false, never)).rejects.toMatchObject({
        code: "PERMISSION_DENIED",
        message: `${JSON.stringify(path)} is not in a folder that modules may be loaded from`,
      });
    }
    expect(globalThis).not.toHaveProperty("rapTestLeak");
  });

  test("through a link that leads out of them, be it a file or a folder", async () => {
    const modules = new Modules({ folders: [folder] });
    mkdirSync(join(top, "outside"));
    write("secret.cjs", cjs(1), join(top, "outside"));
    symlinkSync(join(top, "outside", "secret.cjs"), join(folder, "file.cjs"));
    symlinkSync(join(top, "outside"), join(folder, "way"));
    for (const path of ["file.cjs", "way/secret.cjs"]) {
      await expect(modules.find(path, "f", false, never)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    }
    write("real.mjs", esm("real"));
    symlinkSync(join(folder, "real.mjs"), join(folder, "inside.mjs"));
    expect((await modules.find("inside.mjs", "f", false, never))()).toBe("real");
  });

  test("but JavaScript, under its own name and behind a link", async () => {
    const modules = new Modules({ folders: [folder] });
    write("data.json", "{}");
    write("addon.node", "");
    write("source.ts", "");
    symlinkSync(join(folder, "data.json"), join(folder, "link.js"));
    const paths = ["data.json", "addon.node", "source.ts", "none", "", ".", "a.mjs?x", "a.mjs#x", "link.js"];
    for (const path of [...paths, "a\0.js", 7, null, undefined]) {
      await expect(modules.find(path, "f", false, never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    }
    await expect(modules.find("a.js", "", false, never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("that is not there, or no file", async () => {
    const modules = new Modules({ folders: [folder] });
    mkdirSync(join(folder, "folder.js"));
    for (const path of ["missing.js", "folder.js", "missing/x.mjs", "data:text.js"]) {
      await expect(modules.find(path, "f", false, never)).rejects.toMatchObject({
        code: "NOT_FOUND",
        message: `there is no file ${JSON.stringify(path)} in the folders that modules are loaded from`,
      });
    }
  });

  test("of folders that do not exist: that is an error at once", () => {
    for (const folders of [[], [join(top, "nowhere")], "functions" as never]) {
      expect(() => new Modules({ folders })).toThrow(expect.objectContaining({ code: "ERR_RAP_OPTION" }));
    }
  });
});

describe.each([
  ["mjs", esm],
  ["cjs", cjs],
  ["js", cjs],
] as const)("a changed .%s file", (extension, text) => {
  const file = `counter.${extension}`;

  test("is seen when it is asked for afresh, and by all that come after", async () => {
    const modules = new Modules({ folders: [folder] });
    write(file, text(1));
    const old = await modules.find(file, "f", false, never);
    write(file, text(2));
    expect((await modules.find(file, "f", false, never))()).toBe(1);
    for (let version = 2; version < 5; version++) {
      write(file, text(version));
      expect((await modules.find(file, "f", true, never))()).toBe(version);
      expect((await modules.find(file, "f", false, never))()).toBe(version);
    }
    expect(old()).toBe(1);
  });

  test("that cannot be evaluated says why, and what was there before stays", async () => {
    const modules = new Modules({ folders: [folder] });
    write(file, text(1));
    await modules.find(file, "f", false, never);
    for (const bad of ["this is no code", "throw new Error('not today');"]) {
      write(file, bad);
      await expect(modules.find(file, "f", true, never)).rejects.toMatchObject({
        code: "FAILED_PRECONDITION",
        message: expect.stringMatching(/cannot be loaded: (Unexpected identifier|not today)/),
      });
      expect((await modules.find(file, "f", false, never))()).toBe(1);
    }
    write(file, text(3));
    expect((await modules.find(file, "f", true, never))()).toBe(3);
  });

  test("that never could be evaluated can once it is mended", async () => {
    const modules = new Modules({ folders: [folder] });
    write(file, "this is no code");
    await expect(modules.find(file, "f", false, never)).rejects.toMatchObject({ code: "FAILED_PRECONDITION" });
    write(file, text(1));
    expect((await modules.find(file, "f", false, never))()).toBe(1);
  });

  test("is seen by whoever asks after the change, however many ask at once", async () => {
    const modules = new Modules({ folders: [folder] });
    write(file, text(0));
    const asked: Promise<[expected: number, got: unknown]>[] = [];
    for (let version = 1; version <= 5; version++) {
      write(file, text(version));
      asked.push(modules.find(file, "f", true, never).then((fn) => [version, fn()]));
    }
    for (const [expected, got] of await Promise.all(asked)) expect(got).toBeGreaterThanOrEqual(expected);
  });
});

test("the exports of one file share one module until it is read again", async () => {
  const modules = new Modules({ folders: [folder] });
  write("shared.mjs", "let n = 0; export const up = () => ++n; export const get = () => n;");
  (await modules.find("shared.mjs", "up", false, never))();
  expect((await modules.find("shared.mjs", "get", false, never))()).toBe(1);
  expect((await modules.find("shared.mjs", "get", true, never))()).toBe(0);
});

test("a module that never finishes holds up nobody once its caller has gone", async () => {
  const modules = new Modules({ folders: [folder] });
  write(
    "stuck.mjs",
    `import { writeFileSync } from "node:fs";
     writeFileSync(new URL("./began", import.meta.url), "");
     await new Promise(() => {});`,
  );
  const caller = new AbortController();
  const stuck = modules.find("stuck.mjs", "f", false, caller.signal);
  while (!existsSync(join(folder, "began"))) await new Promise((resolve) => setImmediate(resolve));
  // Not before, or it may be the first.
  const second = modules.find("stuck.mjs", "f", false, never);
  write("stuck.mjs", esm("mended"));
  caller.abort();
  await expect(stuck).rejects.toMatchObject({ code: "CANCELLED" });
  // The second one tries again by itself.
  expect((await second)()).toBe("mended");
  await expect(modules.find("stuck.mjs", "f", true, caller.signal)).rejects.toMatchObject({ code: "CANCELLED" });
});
