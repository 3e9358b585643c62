#!/usr/bin/env node
import { createInterface } from "node:readline";
import { Peer } from "./peer";

// Our own implementation as a program that `rapspec` can drive: `rapspec -- rapspec-peer`.

const peer = new Peer((line) => process.stdout.write(`${line}\n`));
createInterface({ input: process.stdin })
  .on("line", (line) => peer.receive(line))
  .on("close", () => void peer.close());
