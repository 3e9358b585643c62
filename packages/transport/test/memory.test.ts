import { transportCompliance } from "../src/compliance";
import { memory } from "../src/memory";

const setup = (options?: Parameters<typeof memory>[0]) => async () => ({
  transport: memory(options),
  address: "memory://test",
  dispose: async () => {},
});

transportCompliance("memory", setup());
transportCompliance("memory with latency, in chunks of 1000 bytes", setup({ latency: 1, chunk: 1000 }));
