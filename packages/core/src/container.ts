// An entry of its own, `@rap/core/container`: a client without a container need not load tsyringe.
import "reflect-metadata";
import { type DependencyContainer, container as root } from "tsyringe";

/** Resolves services and what may be swapped by its tokens (`tokens.ts`). Any tsyringe container is one. */
export type Container = DependencyContainer;

/**
 * A container of one's own. What is registered there stays there; what it does not know is asked of `parent`. Default
 * parent: tsyringe's global container, where `@singleton()` classes register themselves.
 */
export function createContainer(parent: Container = root): Container {
  if (typeof parent?.createChildContainer !== "function") {
    throw Object.assign(new TypeError("the parent of a container is a container"), { code: "ERR_RAP_OPTION" });
  }
  return parent.createChildContainer();
}

export { inject, injectable, Lifecycle, scoped, singleton } from "tsyringe";
