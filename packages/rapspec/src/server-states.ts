import { call, channel, data, end, reset, upload } from "./frames";
import { type ServerScene, serverCases } from "./server-scene";
import { BAD, fine, HALF, inEveryState, never, ONE_GLITCH, type States, spoken } from "./states";
import { until } from "./wait";

const ON_SERVER: States<ServerScene> = {
  "that never was": { set: async () => 99, gives: { ...never, OPEN: "nothing" } },
  "that is open": {
    set: async ({ peer }) => {
      peer.send(channel(1, "talk"));
      return 1;
    },
    gives: { ...fine, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "of a plain call that runs": {
    set: async ({ peer }) => {
      peer.send(call(1, "hang"));
      return 1;
    },
    gives: { ...fine, ...spoken, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "in the middle of a message": {
    set: async ({ peer }) => {
      peer.send(channel(1, "talk"), data(1, HALF, { more: true }));
      return 1;
    },
    gives: { ...fine, END: BAD, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "that the peer has ended": {
    set: async ({ peer }) => {
      peer.send(channel(1, "chat"), end(1));
      return 1;
    },
    gives: { ...fine, ...spoken, RESET: "RESET CANCELLED", HEADERS: BAD },
  },
  "that the server has ended": {
    set: async ({ peer }) => {
      peer.send(upload(1, "first"));
      await until(() => peer.of("data").length > 0);
      return 1;
    },
    gives: { ...fine, HEADERS: BAD },
  },
  "that is over": {
    set: async ({ peer }) => {
      peer.send(call(1, "echo", { args: [1] }));
      await until(() => peer.of("data").length > 0);
      return 1;
    },
    gives: { ...fine, ...spoken, HEADERS: BAD },
  },
  "that the peer has aborted": {
    set: async ({ peer, subject, server }) => {
      peer.send(call(1, "stubborn"), reset(1));
      await until(async () => (await subject.stats(server)).inFlight !== 0);
      return 1;
    },
    gives: { ...fine, ...spoken, RESET: "glitch", HEADERS: BAD },
  },
};

/** What a server makes of each frame in each state of a stream. */
export const serverStates = serverCases(
  "a server gets, in its state",
  inEveryState(ON_SERVER, (name, play, gives) => ({
    name,
    limits: ONE_GLITCH,
    play: async (scene) => scene.peer.send(...(await play(scene))),
    gives,
  })),
);
