// Does the broker's own JavaScript client, unmodified, get through a whole session at the local exchange?
// Run by tests/test_javascript.py, which hands in the ready line (argv[2]) and judges what is printed.

const { KiteConnect, KiteTicker } = require("kiteconnect");

const ready = JSON.parse(process.argv[2]);
const told = { ticks: [], orders: [] };

async function control(path, body) {
  const answer = await fetch(`${ready.control_url}/${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
}

const pass = (seconds) => control("advance", { seconds });

function once(list, isIt) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`never came: ${isIt}`)), 20000);
    list.heard = (item) => { if (isIt(item)) { clearTimeout(late); resolve(item); } };
    list.forEach(list.heard);
  });
}

function hear(list, item) {
  list.push(item);
  if (list.heard) list.heard(item);
}

async function main() {
  const kite = new KiteConnect({ api_key: ready.api_key, root: ready.kite_api_url });
  const session = await kite.generateSession(ready.request_token, ready.api_secret);
  kite.setAccessToken(session.access_token);
  told.user_id = (await kite.getProfile()).user_id;

  const infy = (await kite.getInstruments("NSE")).find((row) => row.tradingsymbol === "INFY");
  const token = Number(infy.instrument_token);
  const candles = await kite.getHistoricalData(token, "minute", "2026-11-19 09:15:00", "2026-11-19 15:29:00");
  told.candles = candles.length;
  told.quote = (await kite.getQuote(["NSE:INFY"]))["NSE:INFY"].last_price;

  const ticker = new KiteTicker({
    api_key: ready.api_key, access_token: session.access_token, root: ready.kite_ws_url,
  });
  ticker.autoReconnect(false);
  ticker.on("ticks", (ticks) => ticks.forEach((tick) => hear(told.ticks, tick)));
  ticker.on("order_update", (order) => hear(told.orders, order));
  const connected = new Promise((resolve) => ticker.on("connect", resolve));
  ticker.connect();
  await connected;
  ticker.subscribe([token]);
  ticker.setMode(ticker.modeFull, [token]);
  told.tick = await once(told.ticks, (tick) => tick.mode === "full");

  const share = { exchange: "NSE", tradingsymbol: "INFY", product: "MIS", validity: "DAY", quantity: 10 };
  const entry = await kite.placeOrder("regular", {
    ...share, transaction_type: "BUY", order_type: "MARKET", market_protection: -1, tag: "jsentry",
  });
  await pass(3);
  await once(told.orders, (order) => order.order_id === entry.order_id && order.status === "COMPLETE");
  const bought = (await kite.getOrders()).find((order) => order.order_id === entry.order_id);
  const rupees = (value) => Math.round(value * 10) / 10;
  const trigger = rupees(bought.average_price * 0.99);
  const stop = await kite.placeOrder("regular", {
    ...share, transaction_type: "SELL", order_type: "SL", trigger_price: trigger,
    price: rupees(trigger * 0.97), tag: "jsstop",
  });
  await pass(1);
  await kite.modifyOrder("regular", stop.order_id, {
    trigger_price: rupees(trigger + 0.5), price: rupees(trigger * 0.97),
  });
  await pass(1);
  told.trailed = (await kite.getOrders()).find((order) => order.order_id === stop.order_id).trigger_price
    - trigger;
  await kite.modifyOrder("regular", stop.order_id, { order_type: "MARKET", market_protection: -1 });
  await pass(3);
  await once(told.orders, (order) => order.order_id === stop.order_id && order.status === "COMPLETE");
  ticker.disconnect();

  await control("advance", { to: "2026-11-20T15:45" });
  told.history = (await kite.getOrderHistory(stop.order_id)).map((row) => row.status);
  told.trades = await kite.getTrades();
  told.net = (await kite.getPositions()).net;
  told.cash = (await kite.getMargins("equity")).net;
  told.statuses = (await kite.getOrders()).map((order) => order.status);
  delete told.ticks.heard;
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
