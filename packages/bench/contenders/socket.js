const { once } = require("node:events");
const { dial, listen } = require("./endpoint");

/** A connection and nothing on it: what Node takes for it, whoever uses it. */
module.exports = (options) => ({
  serve: () =>
    listen(
      (socket) =>
        socket
          .resume()
          .on("error", () => socket.destroy())
          .write("!"),
      options,
    ),

  async connect(address) {
    const socket = await dial(address);
    // The kernel connects before the server knows of it.
    await once(socket, "data");
    return { close: () => socket.destroy() };
  },
});
