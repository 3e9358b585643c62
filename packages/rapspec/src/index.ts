export type { Bench, Case } from "./case";
export { type Answer, type Instruction, LINKS, type Link, type Stats } from "./instruction";
export type { Outcome } from "./outcome";
export { Peer } from "./peer";
export { report } from "./report";
export { Subject, SubjectProcess } from "./subject";
export { CASES, type Result, runSuite, type SuiteOptions } from "./suite";
export { type Tagged, tag, untag } from "./tagged";
