import { isMainThread } from "node:worker_threads";

export function heavy(n) {
  if (isMainThread) throw new Error("not in a thread");
  return (n * (n - 1)) / 2;
}
