import { getEventListeners } from "node:events";
import { expect, test } from "@jest/globals";
import { unwatch, watch } from "../src/signal-watch";

const listeners = (signal: AbortSignal) => getEventListeners(signal, "abort").length;
const recorder = (name: string, into: string[]) => ({ onSignal: () => into.push(name) });

test("thousands of calls with one signal put one listener on it, and the last takes it away", () => {
  const { signal } = new AbortController();
  const calls = Array.from({ length: 2_000 }, (_, i) => recorder(`${i}`, []));
  for (const call of calls) watch(signal, call);
  expect(listeners(signal)).toBe(1);
  for (const call of calls) {
    expect(listeners(signal)).toBe(1);
    unwatch(signal, call);
    unwatch(signal, call);
  }
  expect(listeners(signal)).toBe(0);
});

test("a signal that fires tells those that still watch, once and in order, whatever they do then", () => {
  const controller = new AbortController();
  const { signal } = controller;
  const told: string[] = [];
  const gone = recorder("gone", told);
  const leaving = {
    onSignal: () => {
      told.push("leaving");
      unwatch(signal, leaving);
    },
  };
  for (const each of [recorder("first", told), gone, leaving, recorder("last", told)]) watch(signal, each);
  unwatch(signal, gone);
  controller.abort();
  expect(told).toEqual(["first", "leaving", "last"]);
  expect(listeners(signal)).toBe(0);
});
