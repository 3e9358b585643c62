import { threadId } from "node:worker_threads";

export const square = (n) => n * n;
export const thread = async () => threadId;
export const exit = () => process.exit(3);
export default function cube(n) {
  return n ** 3;
}
