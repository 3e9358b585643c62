export { ManualClock } from "./manual-clock";
export { createTestPair, type TestPair, type TestPairOptions } from "./test-pair";
