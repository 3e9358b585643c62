import { checkOptions, context, isChannel, type Logger, type OptionNames, rpc } from "@rap/core";
import { messageOf, RapError } from "@rap/protocol";
import { describeMethod, type MethodDescription } from "./describe";
import type { Modules } from "./modules";
import { isReserved, type Method, type Registry } from "./registry";

/** The group of the functions that show and change what a server has. */
const GROUP = "registry";

/** How a function of a module is registered by `registry/load`, and which one `registry/reload` replaces. */
export interface LoadedOptions {
  /** Default: the name that its contract gives, else the name of the export. */
  name?: string;
  /** Default `"default"`. */
  group?: string;
  /** Callable from loopback peers only. Default false; `reload` cannot change it. */
  private?: boolean;
  /** Text for reflection. */
  doc?: string;
  /** Whether it is a channel. Default: whether `channel()` marked it; for `reload`: what there is of that name. */
  channel?: boolean;
}

/** Registers the private functions of the group `registry`: `list`, and with `modules` also `load` and `reload`. */
export function registerAdministration(registry: Registry, modules: Modules | undefined, logger: Logger): void {
  const list = rpc({ summary: "everything that the server has" }, () => registry.list().map(describeMethod));
  registry.registerOwn({ list }, { group: GROUP, private: true });
  if (modules !== undefined) new Loading(registry, modules, logger).register();
}

/** Functions that come from modules while the server runs. */
class Loading {
  readonly #registry: Registry;
  readonly #modules: Modules;
  readonly #logger: Logger;
  readonly #loaded = new WeakSet<Method>();

  constructor(registry: Registry, modules: Modules, logger: Logger) {
    this.#registry = registry;
    this.#modules = modules;
    this.#logger = logger;
  }

  register(): void {
    const params = ["module", "name", "options"];
    this.#registry.registerOwn(
      {
        load: rpc({ params, summary: "registers a function of a module" }, this.load.bind(this)),
        reload: rpc({ params, summary: "replaces a function by that of a module, read again" }, this.reload.bind(this)),
      },
      { group: GROUP, private: true },
    );
  }

  /** Registers an exported function of a module. */
  async load(module: unknown, name: unknown, given?: unknown): Promise<MethodDescription> {
    const { channel, ...options } = checked(given);
    checkGroup(options.group);
    const fn = await this.#modules.find(module, name, false, context().signal);
    const kind = (channel ?? isChannel(fn)) ? "channel" : "function";
    const [method] = registering(() => this.#registry.add([{ fn, kind, options, key: String(name) }]));
    return this.#done(method!, `loaded from ${String(module)}`);
  }

  /** Puts an exported function of a module, read again, into the place of the one that is registered. */
  async reload(module: unknown, name: unknown, given?: unknown): Promise<MethodDescription> {
    const { channel, name: registered = String(name), group = "default", ...options } = checked(given);
    checkGroup(group);
    const target = `${group}/${registered}`;
    const find = () => {
      const kinds = channel === undefined ? KINDS : channel ? (["channel"] as const) : (["function"] as const);
      const method = kinds.map((kind) => this.#registry.find(target, kind)).find((each) => each !== undefined);
      if (method === undefined) throw new RapError("NOT_FOUND", `there is no function ${target} to reload`);
      if (method.private && !this.#loaded.has(method)) {
        throw new RapError("PERMISSION_DENIED", `${target} is private, and did not come from a module`);
      }
      if (method.worker !== undefined && method.worker.source === undefined) {
        throw new RapError("FAILED_PRECONDITION", `${target} runs in worker threads, which load its module themselves`);
      }
      return method;
    };
    find();
    const fn = await this.#modules.find(module, name, true, context().signal);
    // Another reload may have come first.
    const method = registering(() => this.#registry.replace(find(), fn, options));
    return this.#done(method, `reloaded from ${String(module)}`);
  }

  #done(method: Method, what: string): MethodDescription {
    this.#loaded.add(method);
    this.#logger.info({ method: method.target, peer: context().conn.remoteAddress }, `${method.target} was ${what}`);
    return describeMethod(method);
  }
}

const KINDS = ["function", "channel"] as const;

const OPTIONS: OptionNames<LoadedOptions> = {
  name: "string",
  group: "string",
  private: "boolean",
  doc: "string",
  channel: "boolean",
};

function checked(given: unknown): LoadedOptions {
  if (given === undefined || given === null) return {};
  try {
    checkOptions("registry", given as LoadedOptions, OPTIONS);
  } catch (error) {
    throw new RapError("INVALID_ARGUMENT", messageOf(error));
  }
  return given as LoadedOptions;
}

/** The server's own functions stay what they are. */
function checkGroup(group = "default"): void {
  if (isReserved(group)) {
    throw new RapError("PERMISSION_DENIED", `the group ${group} is the server's own`);
  }
}

/** What the registry says of a function is the caller's to know. */
function registering<T>(register: () => T): T {
  try {
    return register();
  } catch (error) {
    const { code, taken } = error as { code?: unknown; taken?: boolean };
    if (code !== "ERR_RAP_REGISTER") throw error;
    throw new RapError(taken ? "ALREADY_EXISTS" : "INVALID_ARGUMENT", messageOf(error), { cause: error });
  }
}
