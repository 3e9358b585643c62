import { expect, test } from "@jest/globals";
import { type Host, PrivateFunctions } from "../src";
import { testHost } from "../src/stand-in";

function recordingHost(): { host: Host; groups: unknown[] } {
  const groups: unknown[] = [];
  const { register, ...host } = testHost();
  return {
    groups,
    host: {
      ...host,
      register(fns, options) {
        register(fns, options);
        groups.push(options);
      },
    },
  };
}

test("private functions are registered once on each host, however often it starts", () => {
  const fns = new PrivateFunctions("Door", { open: () => true });
  for (const { host, groups } of [recordingHost(), recordingHost()]) {
    expect(fns.register(host)).toBe("Door");
    expect(fns.register(host)).toBe("Door");
    expect(groups).toEqual([{ group: "Door", private: true }]);
  }
});

test("a second plugin of a kind has a group of its own", () => {
  const { host } = recordingHost();
  const plugins = [1, 2, 3].map(() => new PrivateFunctions("Door", { open: () => true }));
  expect(plugins.map((fns) => fns.register(host))).toEqual(["Door", "Door2", "Door3"]);
  expect(plugins.map((fns) => fns.register(host))).toEqual(["Door", "Door2", "Door3"]);
});

test("any other error of the host is passed on", () => {
  const host: Host = {
    ...testHost(),
    register: () => {
      throw new TypeError("not a function");
    },
  };
  expect(() => new PrivateFunctions("Door", {}).register(host)).toThrow("not a function");
});
