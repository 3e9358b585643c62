/** msgpackr has no types for this entry, which is all JavaScript: no native addon reads a peer's bytes, none is loaded. */
declare module "msgpackr/index-no-eval" {
  import { Packr as Base, type Options } from "msgpackr";

  export class Packr extends Base {
    constructor(options?: Options);
    useBuffer(buffer: Buffer): void;
  }
}
