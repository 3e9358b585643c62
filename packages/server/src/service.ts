import { type Container, checkMethodOptions, checkOptions, type MethodOptions, type OptionNames } from "@rap/core";
import { injectable } from "@rap/core/container";
import type { AnyFn } from "@rap/protocol";
import { defined, type Method, type Registration, type Registry } from "./registry";

/** Where the methods of a service are registered. */
export interface ServiceOptions {
  /** Default `"default"`. */
  group?: string;
  /** Callable from loopback peers only. Default false. */
  private?: boolean;
}

const OPTIONS: OptionNames<ServiceOptions> = { group: "string", private: "boolean" };

// biome-ignore lint/suspicious/noExplicitAny: constructors are matched by their instance
export type Ctor<T = unknown> = abstract new (...args: any[]) => T;

/** A method decorator in both of TypeScript's modes: `experimentalDecorators`, and the standard ones without it. */
export type RapMethodDecorator = MethodDecorator & ((method: AnyFn, context: ClassMethodDecoratorContext) => void);

interface Declaration {
  readonly kind: Method["kind"];
  readonly options: MethodOptions;
}

/** A declared method of a class. */
export interface ServiceMethod extends Declaration {
  readonly key: string;
}

const services = new WeakMap<object, ServiceOptions>();
/** What `experimentalDecorators` declared: by prototype and key, as other decorators may replace the function. */
const declaredByKey = new WeakMap<object, Map<string, Declaration>>();
/** What standard decorators declared: all they are given is the function. */
const declaredByFunction = new WeakMap<object, Declaration>();

/** Makes a class a service, for `server.registerService(Bank)`. It can then be injected and have `@inject` parameters. */
export function RapService(options: ServiceOptions = {}): ClassDecorator {
  checkOptions("@RapService()", options, OPTIONS);
  return (target) => {
    services.set(target, options);
    injectable()(target as never);
  };
}

/**
 * Exposes a method of a service; a method without it is never callable from afar. An overriding method takes the place
 * of the one that it overrides, with that one's options unless it is decorated itself. Throws a TypeError for static
 * methods, accessors, fields and symbols.
 */
export function Rpc(options: MethodOptions = {}): RapMethodDecorator {
  return declare("function", options);
}

/** Exposes a method of one `Channel`. For the rest as `@Rpc`. */
export function RapChannel(options: MethodOptions = {}): RapMethodDecorator {
  return declare("channel", options);
}

function declare(kind: Method["kind"], options: MethodOptions): RapMethodDecorator {
  checkMethodOptions(kind === "channel" ? "@RapChannel()" : "@Rpc()", options);
  const declaration = { kind, options };
  const decorator = (
    target: object,
    where: PropertyKey | ClassMethodDecoratorContext,
    property?: PropertyDescriptor,
  ) => {
    if (typeof where === "object") {
      checkMethod(where.name, where.kind === "method" && !where.static && !where.private);
      declaredByFunction.set(target, declaration);
      return;
    }
    checkMethod(where, typeof target !== "function" && typeof property?.value === "function");
    const methods = declaredByKey.get(target) ?? new Map<string, Declaration>();
    declaredByKey.set(target, methods.set(where as string, declaration));
  };
  return decorator as RapMethodDecorator;
}

function checkMethod(name: PropertyKey, isMethod: boolean): void {
  if (typeof name === "symbol" || !isMethod) {
    throw serviceError(`@Rpc() and @RapChannel() are for public methods of instances: ${String(name)} is none`);
  }
}

/** The exposed methods of a class, inherited ones included, base classes first. */
export function serviceMethods(cls: Ctor): readonly ServiceMethod[] {
  const chain: object[] = [];
  for (let at = cls.prototype as object | null; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    chain.unshift(at);
  }
  const found = new Map<string, ServiceMethod>();
  for (const prototype of chain) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (typeof value !== "function") continue;
      const declaration = declaredByKey.get(prototype)?.get(key) ?? declaredByFunction.get(value as object);
      if (declaration !== undefined) found.set(key, { key, ...declaration });
    }
  }
  return [...found.values()];
}

/**
 * Registers the exposed methods of a service, all or none, bound to one instance from the container. Options win over
 * those of a method, and these over those of `@RapService`.
 *
 * @throws TypeError with code `ERR_RAP_REGISTER` for a class without `@RapService()` or without exposed methods, and
 * what the registry and the container throw.
 */
export function registerService<T>(
  registry: Registry,
  container: Container,
  cls: Ctor<T>,
  options: ServiceOptions = {},
): void {
  checkOptions("registerService()", options, OPTIONS);
  if (typeof cls !== "function") throw serviceError(`a class is expected, not ${cls === null ? "null" : typeof cls}`);
  const service = services.get(cls);
  if (service === undefined) throw serviceError(`${cls.name} is not a service: decorate the class with @RapService()`);
  const methods = serviceMethods(cls);
  if (methods.length === 0) throw serviceError(`${cls.name} exposes nothing: decorate its methods with @Rpc()`);
  const instance = container.resolve<T>(cls as never) as Record<string, AnyFn>;
  registry.add(
    methods.map(({ key, kind, options: own }): Registration => {
      const settings = { ...service, ...own, ...defined(options) };
      return { kind, key, options: settings, fn: instance[key]!.bind(instance) as AnyFn };
    }),
  );
}

function serviceError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_RAP_REGISTER" });
}
