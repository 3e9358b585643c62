import { realpathSync } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";
import { abortError, checkOptions, listOf, optionError, unlessAborted } from "@rap/core";
import { type AnyFn, messageOf, RapError } from "@rap/protocol";
import { quote } from "./registry";

/** What `registry/load` and `registry/reload` may load. */
export interface LoadOptions {
  /** Folders (absolute, or from the working directory) with the files that may be loaded, subfolders included. */
  folders: readonly string[];
}

type Exports = Readonly<Record<string, unknown>>;

/** The functions of `import.js`. */
interface Loader {
  importModule(url: string): Promise<Exports>;
  forget(file: string): void;
}

const EXTENSIONS = [".js", ".cjs", ".mjs"];

/**
 * Functions of JavaScript files below given folders, as they are now: `fresh` reads a file again. Nobody can take back
 * what Node has evaluated, so each fresh version of a file stays in memory.
 */
export class Modules {
  /** The folders as they were given, and as they really are: a module may be named either way. */
  readonly #roots: readonly string[];
  readonly #realRoots: readonly string[];
  /** The URL under which a file was evaluated last, without an error. */
  readonly #urls = new Map<string, string>();
  /** Files of which the newest evaluation failed, which Node would remember for its URL. */
  readonly #failed = new Set<string>();
  readonly #turns = new Map<string, Promise<unknown>>();
  #evaluations = 0;
  #loader: Loader | undefined;

  /** Throws a TypeError with code `ERR_RAP_OPTION` for a folder that is not there. */
  constructor(options: LoadOptions) {
    checkOptions("load", options, { folders: listOf("name", "a list of folders") });
    const { folders = [] } = options;
    if (folders.length === 0) throw optionError("load needs folders: { folders: [path] }");
    this.#realRoots = folders.map(realFolder);
    this.#roots = [...folders.map((folder) => resolve(folder)), ...this.#realRoots];
  }

  /**
   * An exported function of a module: an absolute path, or one from a folder. When `signal` fires it waits no longer.
   *
   * @throws RapError `INVALID_ARGUMENT` for what is no path of a JavaScript file, `PERMISSION_DENIED` for one that is,
   * or leads, out of the folders, `NOT_FOUND` where there is no file or no such function, `FAILED_PRECONDITION` for a
   * file that cannot be evaluated.
   */
  async find(module: unknown, name: unknown, fresh: boolean, signal: AbortSignal): Promise<AnyFn> {
    if (typeof name !== "string" || name === "") throw invalid("the name of an export is due");
    const file = await this.#locate(module);
    const exports = await this.#import(file, fresh, signal).catch((error: unknown) => {
      if (signal.aborted) throw abortError(signal);
      const message = `${quote(module)} cannot be loaded: ${messageOf(error)}`;
      throw new RapError("FAILED_PRECONDITION", message, { cause: error });
    });
    // The exports of a CommonJS module that nobody could foresee are all in its default export.
    for (const each of [exports, exports.default]) {
      if (typeof each !== "object" || each === null || !Object.hasOwn(each, name)) continue;
      const found = (each as Exports)[name];
      if (typeof found === "function") return found as AnyFn;
    }
    throw new RapError("NOT_FOUND", `${quote(module)} exports no function ${quote(name)}`);
  }

  /** The real path of a module. What lies outside of the folders is not even looked at. */
  async #locate(module: unknown): Promise<string> {
    if (typeof module !== "string" || module.includes("\0")) throw invalid("the path of a module is due");
    checkExtension(module, module);
    const paths = this.#roots.map((root) => [root, resolve(root, module)] as const);
    const inside = new Set(paths.filter(([root, path]) => isInside(root, path)).map(([, path]) => path));
    if (inside.size === 0) throw outside(module);
    for (const path of inside) {
      const file = await realpath(path).catch(() => undefined);
      if (file === undefined) continue;
      if (!this.#realRoots.some((root) => isInside(root, file))) throw outside(module);
      checkExtension(file, module);
      if ((await stat(file)).isFile()) return file;
    }
    throw new RapError("NOT_FOUND", `there is no file ${quote(module)} in the folders that modules are loaded from`);
  }

  /** One evaluation of a file after the other, so that each sees what the file was when it was asked for, or later. */
  #import(file: string, fresh: boolean, signal: AbortSignal): Promise<Exports> {
    const before = this.#turns.get(file) ?? Promise.resolve();
    const turn = before.then(() => this.#evaluate(file, fresh, signal));
    this.#turns.set(
      file,
      turn.catch(() => undefined),
    );
    return turn;
  }

  async #evaluate(file: string, fresh: boolean, signal: AbortSignal): Promise<Exports> {
    signal.throwIfAborted();
    this.#loader ??= nodeLoader();
    const again = fresh || this.#failed.has(file);
    if (again) this.#loader.forget(file);
    const plain = pathToFileURL(file).href;
    const url = again ? `${plain}?rap=${++this.#evaluations}` : (this.#urls.get(file) ?? plain);
    try {
      // One that never ends, in an await at its top, must not stand in the way of all that come after it.
      const exports = await unlessAborted(this.#loader.importModule(url), signal);
      this.#urls.set(file, url);
      this.#failed.delete(file);
      return exports;
    } catch (error) {
      if (!this.#urls.has(file)) this.#failed.add(file);
      throw error;
    }
  }
}

/** Node's own loader, whichever global `require` and `process` there are: a test framework has others. */
function nodeLoader(): Loader {
  const { getBuiltinModule } = runInThisContext("process") as NodeJS.Process;
  const require = getBuiltinModule("node:module").createRequire(__filename);
  // The way to it is the same from src and from dist.
  return require(join(__dirname, "../src/import.js")) as Loader;
}

function realFolder(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (error) {
    throw optionError(`load: the folder ${quote(folder)} cannot be used: ${messageOf(error)}`);
  }
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function checkExtension(path: string, module: string): void {
  if (!EXTENSIONS.includes(extname(path))) {
    throw invalid(`${quote(module)} is no JavaScript file: its name must end in ${EXTENSIONS.join(", ")}`);
  }
}

function outside(module: string): RapError {
  return new RapError("PERMISSION_DENIED", `${quote(module)} is not in a folder that modules may be loaded from`);
}

function invalid(message: string): RapError {
  return new RapError("INVALID_ARGUMENT", message);
}
