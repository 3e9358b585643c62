import { context } from "@rap/core";
import { RapError } from "@rap/protocol";
import { describeMethod, type MethodDescription } from "./describe";
import type { Method, Registry } from "./registry";

const GROUP = "rap.reflection.v1";

/** Registers `ListServices` and `Describe` in `rap.reflection.v1`; a caller is told of what it may call. */
export function registerReflection(registry: Registry): void {
  const visible = (): readonly Method[] => {
    const { local } = context().conn;
    return registry.list().filter((method) => local || !method.private);
  };
  registry.registerOwn(
    {
      ListServices: () => ({ groups: [...new Set(visible().map(({ group }) => group))] }),
      Describe: (group: unknown): { methods: MethodDescription[] } => {
        const methods = visible().filter((method) => method.group === group);
        if (methods.length === 0) throw new RapError("NOT_FOUND", `there is no group ${JSON.stringify(String(group))}`);
        return { methods: methods.map(describeMethod) };
      },
    },
    { group: GROUP },
  );
}
