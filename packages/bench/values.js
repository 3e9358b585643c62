/** About 1 KiB as JSON and as MessagePack: what an order looks like on its way between two services. */
const ORDER = {
  id: 918_273,
  created: "2024-05-17T09:31:07.412Z",
  paid: true,
  customer: {
    id: 55_021,
    name: "Grace Hopper",
    email: "grace.hopper@example.org",
    roles: ["admin", "buyer", "auditor"],
    address: { street: "Am Sandtorkai 27", city: "Hamburg", zip: "20457", country: "DE", lat: 53.543764, lon: 9.99 },
  },
  lines: [
    line("KB-1180-DE", "Keyboard, mechanical, 87 keys", 1, 129.9),
    line("MS-2044", "Mouse, two buttons and a wheel", 2, 34.5),
    line("CB-USB-C-2M", "Cable, USB-C to USB-C, 2 m", 4, 12.25),
    line("MN-27-4K", "Monitor, 27 inches, 3840 x 2160", 1, 449),
  ],
  totals: { net: 697.4, tax: 132.51, gross: 829.91, currency: "EUR" },
  note: "Please leave the parcel with the neighbours on the second floor.",
};

function line(sku, name, quantity, price) {
  return { sku, name, quantity, price, tags: ["hardware", "office"], stock: { shelf: "B-17", left: 42 } };
}

/** Bytes that no codec can shorten or mistake for text. */
function bytes(size) {
  const body = new Uint8Array(size);
  for (let i = 0; i < size; i++) body[i] = (i * 2_654_435_761) >>> 13;
  return body;
}

module.exports = { ORDER, bytes };
