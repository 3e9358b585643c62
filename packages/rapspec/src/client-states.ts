import { type ClientScene, clientCases } from "./client-scene";
import { data, end } from "./frames";
import { BAD, fine, HALF, inEveryState, never, ONE_GLITCH, type States, spoken } from "./states";

const ON_CLIENT: States<ClientScene> = {
  "that never was": { set: async () => 98, gives: { ...never, OPEN: "RESET UNIMPLEMENTED" } },
  "that is open": {
    set: async ({ begin }) => (await begin("stream")).id,
    gives: fine,
  },
  "of a plain call that runs": {
    set: async ({ begin }) => (await begin("unary")).id,
    gives: fine,
  },
  "in the middle of an item": {
    set: async ({ peer, begin }) => {
      const { id } = await begin("stream");
      peer.send(data(id, HALF, { more: true }));
      return id;
    },
    gives: { ...fine, END: BAD },
  },
  "that has given an item": {
    set: async ({ peer, begin }) => {
      const { id } = await begin("stream");
      peer.send(data(id, 1));
      return id;
    },
    gives: fine,
  },
  "that the server has ended": {
    set: async ({ peer, begin }) => {
      const { id } = await begin("channel");
      peer.send(end(id));
      return id;
    },
    gives: { ...fine, ...spoken, HEADERS: "glitch", RESET: "RESET CANCELLED" },
  },
  "that is over": {
    set: async ({ peer, begin }) => {
      const { id } = await begin("unary");
      peer.send(data(id, 1, { end: true }));
      return id;
    },
    gives: { ...fine, ...spoken, HEADERS: "glitch" },
  },
  "that the caller has cancelled": {
    set: async ({ peer, begin }) => {
      const { id, call } = await begin("unary");
      await call.tell("cancel");
      await peer.waitFor("reset");
      peer.frames.length = 0;
      return id;
    },
    gives: fine,
  },
};

/** What a client makes of each frame in each state of a stream. */
export const clientStates = clientCases(
  "a client gets, in its state",
  inEveryState(ON_CLIENT, (name, play, gives) => ({
    name,
    limits: ONE_GLITCH,
    async play(scene) {
      scene.peer.send(...(await play(scene)));
      return undefined;
    },
    gives,
  })),
);
