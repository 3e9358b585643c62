// The readers are part of the conformance suite, which plays the same vectors to whole peers.
export * from "@rap/rapspec/vectors";
