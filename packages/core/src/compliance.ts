// The suites behind `@rap/core/compliance`: an interface ships with its laws.
export { type MiddlewareSetup, middlewareCompliance } from "./middleware-compliance";
export { type ProcessorSetup, processorCompliance } from "./processor-compliance";
