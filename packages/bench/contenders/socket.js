const { dial, listen } = require("./endpoint");

/** A connection and nothing on it: what Node takes for it, whoever uses it. */
module.exports = (options) => ({
  serve: () => listen((socket) => socket.resume().on("error", () => socket.destroy()), options),

  async connect(address) {
    const socket = await dial(address);
    return { close: () => socket.destroy() };
  },
});
